"""Where the desk begins: at the studies, not at Django's list of models, which the menu has."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from surveys.models import Study


def first_page(request: HttpRequest) -> HttpResponse:
    page: HttpResponse = admin.site.admin_view(_first_page)(request)
    return page


def _first_page(request: HttpRequest) -> HttpResponse:
    if admin.site.get_model_admin(Study).has_view_permission(request):
        return redirect("admin:surveys_study_changelist")
    return admin.site.index(request)
