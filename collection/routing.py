"""Addresses of WebSockets. Below /s/<study>/, where the participant's cookie is sent."""

from django.urls import path

from collection.consumers import SettledConsumer

websocket_urlpatterns = [
    path("s/<slug:slug>/c/<int:number>/socket/", SettledConsumer.as_asgi()),
]
