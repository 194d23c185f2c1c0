"""Addresses of arriving, consent, the survey and leaving."""

from django.urls import path

from surveys import views, webhooks, workshop

urlpatterns = [
    path("", views.home, name="home"),
    path("instrument.schema.json", workshop.instrument_schema, name="instrument-schema"),
    path("webhooks/prolific/", webhooks.prolific, name="prolific-webhook"),
    path("s/<slug:slug>/", views.arrive, name="arrive"),
    path("s/<slug:slug>/p/<slug:key>/", views.personal_link, name="personal-link"),
    path("s/<slug:slug>/information/", views.information, name="information"),
    path("s/<slug:slug>/consent/", views.consent, name="consent"),
    path("s/<slug:slug>/decline/", views.decline, name="decline"),
    path("s/<slug:slug>/declined/", views.declined, name="declined"),
    path("s/<slug:slug>/survey/<slug:page_code>/", views.survey_page, name="survey-page"),
    path("s/<slug:slug>/draft/", views.save_draft, name="draft"),
    path("s/<slug:slug>/language/", views.set_language, name="set-language"),
    path("s/<slug:slug>/leave/", views.leave, name="leave"),
    path("s/<slug:slug>/stop/", views.stop, name="stop"),
    path("s/<slug:slug>/stopped/", views.stopped, name="stopped"),
    path("s/<slug:slug>/screened/", views.screened, name="screened"),
    path("s/<slug:slug>/problem/", views.report_problem, name="problem"),
    path("s/<slug:slug>/done/", views.done, name="done"),
]
