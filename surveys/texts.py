"""What people type, made storable without changing what they said."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from surveys.errors import DomainError


def clean_text(raw: str, limit: int) -> str:
    """The text without blank ends and with LF line ends.

    Raises DomainError if it is longer than `limit` characters or has a character that no
    database can store (NUL, lone surrogates); the caller shows the text again beside the message.
    """
    text = raw.replace("\r\n", "\n").replace("\r", "\n").strip()
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise DomainError(
            "unstorable", _("This text has a character that cannot be saved. Please remove it.")
        )
    if len(text) > limit:
        over = len(text) - limit
        raise DomainError(
            "too_long",
            ngettext(
                "This text is %(over)d character too long. Please shorten it a little.",
                "This text is %(over)d characters too long. Please shorten it a little.",
                over,
            )
            % {"over": over},
        )
    return text
