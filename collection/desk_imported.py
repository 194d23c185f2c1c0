"""The page of a study that is a release somebody loaded: where it comes from, and no verbs."""

from typing import Any

from django.contrib.admin import display
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from collection.export.write import files_of
from surveys import studies
from surveys.desk import tag
from surveys.models import Study


class ImportedDesk:
    """Mixed into the study's admin."""

    fieldsets: Any

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None or not obj.is_imported:
            return super().get_fieldsets(request, obj)  # type: ignore[misc]
        settings = ["title", "slug", "locale", "instrument", "protocol_json"]
        return [(None, {"fields": settings})]

    def imported_context(self, row: Study) -> dict[str, Any]:
        release = row.release
        return {
            "study": row,
            "release": release,
            "files": list(release.files.items()),
            "repairs": release.repairs["repairs"],
            "left": release.repairs["left_as_they_were"],
            "export_all": reverse("export-all", args=[row.slug]),
            "exports": [
                (name, reverse("export-file", args=[row.slug, name])) for name in files_of(row)
            ],
            "copy_slug": studies.free_slug(row.slug),
        }

    @display(description=gettext_lazy("state"), ordering="state")
    def standing(self, row: Study) -> SafeString | str:
        return tag(_("imported")) if row.is_imported else row.get_state_display()
