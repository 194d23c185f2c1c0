"""Signing in to the desk, which slows down whoever guesses passwords."""

import hashlib
import logging
from typing import Any

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from unfold.forms import AuthenticationForm

log = logging.getLogger("refract.sign_in")

WINDOW_S = 15 * 60
LIMITS = {"account and address": 5, "account": 50, "address": 50}
"""Failures in a window before one waits. Of an account alone so many that strangers cannot easily
lock somebody out; of an address so many that an office behind one does not lock itself out."""


class SignInForm(AuthenticationForm):  # type: ignore[misc]
    def clean(self) -> Any:
        name = str(self.cleaned_data.get("username", ""))
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        keys = keys_of(name, address)
        # Counted before the password is looked at: guesses at the same moment count each.
        has_rooms = [has_room(keys[scope], limit) for scope, limit in LIMITS.items()]
        if not all(has_rooms):
            raise ValidationError(
                _(
                    "There were too many attempts to sign in. Please wait a quarter of an hour "
                    "and try again; an administrator can set a new password meanwhile."
                ),
                code="throttled",
            )
        cleaned = super().clean()
        forget(keys)
        return cleaned


def keys_of(name: str, address: str) -> dict[str, str]:
    """Scope of a limit -> where it is counted. Hashed: the cache need not know who works here."""
    parts = {
        "account and address": f"{name.casefold()} {address}",
        "account": name.casefold(),
        "address": address,
    }
    return {
        scope: f"sign-in/{hashlib.sha256(f'{scope} {part}'.encode()).hexdigest()}"
        for scope, part in parts.items()
    }


def has_room(key: str, limit: int) -> bool:
    """Counts an attempt, and says whether it is within the limit."""
    try:
        cache.add(key, 0, timeout=WINDOW_S)
        return int(cache.incr(key)) <= limit
    except Exception:
        # The cache is away, or the window ended just now. Nobody is kept out for that.
        log.warning("an attempt to sign in could not be counted", exc_info=True)
        return True


def forget(keys: dict[str, str]) -> None:
    """After the right password. Of the address one attempt alone: others may be guessing there."""
    try:
        cache.delete_many([keys["account and address"], keys["account"]])
        cache.decr(keys["address"])
    except Exception:
        log.warning("attempts to sign in could not be forgotten", exc_info=True)
