"""Endpoints at the desk: loaded from presets and files."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from collection import presets
from collection.presets import Loaded, PresetFile
from surveys.instruments.load import LENGTH_LIMIT, InstrumentError, decoded, parse_as


class RegistryDesk:
    """Mixed into the endpoints' admin."""

    admin_site: Any
    has_add_permission: Any
    log_addition: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.load))
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [path("load/", view, name="collection_modelendpoint_load"), *urls]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"presets": presets.titles()} | (extra_context or {})
        response: HttpResponse = super().changelist_view(request, context)  # type: ignore[misc]
        return response

    def load(self, request: HttpRequest) -> HttpResponse:
        """A preset by name, or an uploaded file: all of it or, with the problems named, nothing."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        try:
            loaded = presets.load(self.wanted(request).models)
        except InstrumentError as error:
            for line in str(error).splitlines():
                messages.error(request, line)
        else:
            for row in loaded.new:
                self.log_addition(request, row, "Loaded")
            self.tell(request, loaded)
        return redirect("admin:collection_modelendpoint_changelist")

    def wanted(self, request: HttpRequest) -> PresetFile:
        name = request.POST.get("preset", "")
        if name:
            if name not in presets.names():
                raise Http404
            return presets.named(name)
        file = request.FILES.get("file")
        if file is None:
            raise InstrumentError(_("Choose a file first."))
        if (file.size or 0) > LENGTH_LIMIT:
            raise InstrumentError(_("%s is too long to be a list of models.") % file.name)
        return parse_as(str(file.name), decoded(str(file.name), file.read()), PresetFile)

    def tell(self, request: HttpRequest, loaded: Loaded) -> None:
        new, known = len(loaded.new), len(loaded.known)
        said = ngettext("%d model was added.", "%d models were added.", new) % new
        if known:
            said += " " + ngettext("%d was here already.", "%d were here already.", known) % known
        messages.success(request, said)
        if loaded.different:
            messages.warning(
                request,
                _("These are here with other settings, which were kept: %s.")
                % ", ".join(map(str, loaded.different)),
            )
