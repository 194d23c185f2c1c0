"""API tokens: made once, shown once, kept as a hash; each use is dated."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from surveys.models import ApiToken, Study

SIGN = "refract_"
"""Begins every secret, so that scanners of code find one that got there."""
SHOWN = 12
NOTED_EVERY = timedelta(minutes=1)
"""Uses are dated to the minute: a program's every request would be a write."""


def issue(
    user: Any, name: str, scopes: Iterable[str], study: Study | None, expires_at: datetime
) -> tuple[ApiToken, str]:
    """A new token and its secret, which is nowhere afterwards."""
    secret = SIGN + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        prefix=secret[:SHOWN],
        sha256=hashed(secret),
        scopes=sorted(scopes),
        study=study,
        expires_at=expires_at,
    )
    return token, secret


def hashed(secret: str) -> str:
    # The secret is random and long: no slow hash is needed, and every request pays for one.
    return hashlib.sha256(secret.encode()).hexdigest()


def holder(secret: str) -> ApiToken | None:
    """The live token of a secret with its account, or None. Notes that it was used."""
    now = timezone.now()
    if not secret.startswith(SIGN) or "\x00" in secret:
        return None
    token = (
        ApiToken.objects.select_related("user")
        .filter(sha256=hashed(secret), user__is_active=True)
        .first()
    )
    if token is None or not token.is_live(now):
        return None
    unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - NOTED_EVERY)
    if ApiToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=now):
        token.last_used_at = now
    return token


def revoke(token: ApiToken) -> bool:
    """Whether this was what ended it."""
    live = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True)
    return bool(live.update(revoked_at=timezone.now()))
