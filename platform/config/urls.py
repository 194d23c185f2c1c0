"""Every address of Refract."""

from django.contrib import admin
from django.urls import include, path

from config import desk_index, journey, scrape
from surveys import two_factor

admin.autodiscover()

urlpatterns = [
    # Before the admin, which answers everything below its own address.
    path("admin/two-factor/", two_factor.set_up, name="two-factor"),
    path("admin/two-factor/code/", two_factor.give_code, name="two-factor-code"),
    path("admin/", desk_index.first_page, name="desk"),
    path("admin/", admin.site.urls),
    path("api/", include("collection.api.urls")),
    path("", include("surveys.urls")),
    path("s/<slug:slug>/next/", journey.next_page, name="next"),
    path("", include("collection.urls")),
    path("metrics", scrape.page, name="metrics"),
]

handler400 = "config.errors.bad_request"
handler404 = "config.errors.not_found"
