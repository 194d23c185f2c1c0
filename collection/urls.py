"""Addresses of the conversation stage and of its release."""

from django.urls import path

from collection import downloads, rights, views

urlpatterns = [
    path("desk/<slug:slug>/export/", downloads.download_all, name="export-all"),
    path("desk/<slug:slug>/export/<str:name>.jsonl", downloads.download, name="export-file"),
    path(
        "desk/<slug:slug>/release/<str:version>.zip", downloads.download_release, name="release-zip"
    ),
    path("s/<slug:slug>/data/", rights.your_data, name="your-data"),
    path("s/<slug:slug>/data/file/", rights.download_own, name="your-data-file"),
    path("s/<slug:slug>/withdraw/", rights.withdraw, name="withdraw"),
    path("s/<slug:slug>/receipt/<slug:code>/", rights.receipt, name="receipt"),
    path("s/<slug:slug>/instructions/", views.instructions, name="instructions"),
    path("s/<slug:slug>/conversations/", views.hub, name="hub"),
    path("s/<slug:slug>/c/<int:number>/", views.conversation_page, name="conversation"),
    path("s/<slug:slug>/c/<int:number>/live/", views.live, name="live"),
    path("s/<slug:slug>/c/<int:number>/prompt/", views.prompt, name="prompt"),
    path("s/<slug:slug>/c/<int:number>/again/", views.again, name="again"),
    path("s/<slug:slug>/c/<int:number>/rate/", views.rate, name="rate"),
    path("s/<slug:slug>/c/<int:number>/finish/", views.finish, name="finish"),
    path("s/<slug:slug>/c/<int:number>/feedback/", views.feedback, name="feedback"),
    path("s/<slug:slug>/c/<int:number>/report/", views.report_reply, name="report-reply"),
]
