"""Addresses of WebSockets. Below /s/<study>/, where the participant's cookie is sent."""

from django.urls import path

from collection.consumers import settled_socket

websocket_urlpatterns = [
    path("s/<slug:slug>/c/<int:number>/socket/", settled_socket),  # type: ignore[arg-type]
]
