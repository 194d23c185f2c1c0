"""How mail leaves: one address of a server in place of six settings."""

from typing import Any
from urllib.parse import unquote, urlsplit

BACKENDS = "django.core.mail.backends"


def mail_settings(url: str) -> dict[str, Any]:
    """Django's settings for smtp://user:password@host:587, smtp+tls://, smtps:// or console://.

    Without an address no mail is sent. Raises ValueError for any other.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "" if not url:
            return {"EMAIL_BACKEND": f"{BACKENDS}.dummy.EmailBackend"}
        case "console":
            return {"EMAIL_BACKEND": f"{BACKENDS}.console.EmailBackend"}
        case "smtp" | "smtp+tls" | "smtps" if parts.hostname:
            return {
                "EMAIL_BACKEND": f"{BACKENDS}.smtp.EmailBackend",
                "EMAIL_HOST": parts.hostname,
                "EMAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 587),
                "EMAIL_HOST_USER": unquote(parts.username or ""),
                "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
                "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
                "EMAIL_USE_SSL": parts.scheme == "smtps",
                "EMAIL_TIMEOUT": 10,
            }
    # Never the address itself: it has a password.
    raise ValueError(
        "REFRACT_EMAIL_URL must begin with smtp://, smtp+tls://, smtps:// or console://"
    )
