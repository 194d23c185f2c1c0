"""Personal information by the pattern recognisers of presidio-analyzer: an optional extra, `pii`.

Its recognisers are used by themselves, without an analyser, which would want a spaCy model, and
without anything fetched. Patterns that need words around them to be believed are left out: they
would flag every long number.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

from django.utils.translation import gettext_lazy as _

from collection.detectors.contacts import Span, phones, regions_of
from collection.detectors.outcomes import Result, Unavailable
from surveys.models import Study

GENERIC = ("CreditCardRecognizer", "CryptoRecognizer", "IbanRecognizer", "IpRecognizer")
BY_REGION = {
    "US": ("UsSsnRecognizer", "UsItinRecognizer"),
    "GB": ("NhsRecognizer", "UkNinoRecognizer"),
    "ES": ("EsNifRecognizer", "EsNieRecognizer"),
    "IT": ("ItFiscalCodeRecognizer",),
    "PL": ("PlPeselRecognizer",),
    "SG": ("SgFinRecognizer",),
    "AU": ("AuTfnRecognizer", "AuMedicareRecognizer"),
    "IN": ("InPanRecognizer", "InAadhaarRecognizer"),
    "FI": ("FiPersonalIdentityCodeRecognizer",),
}
LEAST_SCORE = 0.5
"""Below it presidio wants words around the match."""


class Presidio:
    """Takes the place of `Contacts`: e-mail and telephone, and numbers of cards, accounts, devices
    and, in the study's countries, persons."""

    name = "pii"
    title = _("Personal information: presidio's patterns")
    is_local = True
    at_once = 200

    def __init__(self, study: Study) -> None:
        self.regions = regions_of(study)
        where = f" ({','.join(self.regions)})" if self.regions else ""
        try:
            self.version = f"presidio-analyzer {version('presidio-analyzer')}{where}"
        except ImportError as error:  # PackageNotFoundError is one
            raise ImportError('it needs the extra: pip install "refract[pii]"') from error

    @cached_property
    def recognisers(self) -> list[Any]:
        # Here, for it loads spaCy, which takes seconds; presidio never gets a model of it.
        from presidio_analyzer import predefined_recognizers as shelf

        names = [*GENERIC, *(name for region in self.regions for name in BY_REGION.get(region, ()))]
        return [offline_email(), *(getattr(shelf, name)() for name in names)]

    def detect(self, texts: Sequence[str]) -> list[Result]:
        try:
            known = self.recognisers
        except (ImportError, AttributeError) as error:
            raise Unavailable(f"presidio-analyzer: {error}", is_final=True) from error
        return [{"found": [list(span) for span in self.find(text, known)]} for text in texts]

    def find(self, text: str, known: list[Any]) -> list[Span]:
        return sorted({*spans(text, known), *phones(text, self.regions)})


def spans(text: str, known: list[Any]) -> Iterator[Span]:
    for recogniser in known:
        entities = recogniser.supported_entities
        for match in recogniser.analyze(text, entities, None) or ():
            if match.score >= LEAST_SCORE:
                yield match.start, match.end, match.entity_type


def offline_email() -> Any:
    """Presidio's own asks the network for the list of top-level domains on its first use."""
    from presidio_analyzer.predefined_recognizers import EmailRecognizer
    from tldextract import TLDExtract

    known = TLDExtract(suffix_list_urls=(), cache_dir=None)

    class Offline(EmailRecognizer):  # type: ignore[misc, unused-ignore]
        def validate_result(self, pattern_text: str) -> bool:
            return bool(known(pattern_text).fqdn)

    return Offline()
