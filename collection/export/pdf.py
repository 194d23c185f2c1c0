"""PDF from a page, by WeasyPrint: an optional extra, for it needs libraries of the system."""

import io
import logging
from typing import Any, NoReturn

from surveys.errors import DomainError

PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
"""Debian's and Ubuntu's names of what WeasyPrint loads."""


def is_possible() -> bool:
    try:
        check()
    except DomainError:
        return False
    return True


def check() -> None:
    """Raises DomainError, which says what to install."""
    _weasyprint()


def made(page: str) -> bytes:
    """Equal pages give equal bytes: no date stands in the file. Raises DomainError as `check`."""
    weasyprint = _weasyprint()
    file = io.BytesIO()
    document = weasyprint.HTML(string=page, base_url=None, url_fetcher=_fetch_nothing)
    document.write_pdf(file)
    return file.getvalue()


def _fetch_nothing(url: str, *_args: Any, **_kwargs: Any) -> NoReturn:
    """The page holds all that it needs; nothing is asked of the network or of this machine."""
    raise ValueError(f"{url} is not fetched")


def _weasyprint() -> Any:
    try:
        import weasyprint
    except ImportError as error:
        raise DomainError(
            "pdf",
            "A PDF needs WeasyPrint, which is not installed: pip install 'refract[pdf]'. "
            "codebook.html prints well from a browser too.",
        ) from error
    except OSError as error:
        raise DomainError(
            "pdf",
            f"WeasyPrint is installed, but lacks a library of the system ({error}). On Debian or "
            f"Ubuntu: apt-get install {PACKAGES}. codebook.html prints well from a browser too.",
        ) from error
    # It reports every style rule that it does not know.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    return weasyprint
