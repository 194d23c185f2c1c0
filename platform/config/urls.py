"""Every address of Refract."""

from django.contrib import admin
from django.urls import include, path

from config import journey

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("surveys.urls")),
    path("s/<slug:slug>/next/", journey.next_page, name="next"),
    path("", include("collection.urls")),
]

handler400 = "config.errors.bad_request"
handler404 = "config.errors.not_found"
