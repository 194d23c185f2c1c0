"""That no request speaks the language of another."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import override


class LanguageMiddleware:
    """Every request begins in English, the desk's language.

    Views of a study go on in its participant's (`surveys.visitor.speak`); that ends here, for the
    thread serves somebody else next.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with override(settings.LANGUAGE_CODE):
            return self.get_response(request)
