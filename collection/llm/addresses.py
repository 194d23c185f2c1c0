"""Which servers may be asked: outside the embedded mode, none of our own network."""

import ipaddress
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

from django.conf import settings

KNOWN_FOR_S = 60.0
"""How long the answer for a host is kept.

The connection looks the name up again: a name that changes in between reaches another address. Who
must exclude that too puts the servers behind a proxy that refuses private addresses.
"""

_checked: dict[str, float] = {}


class AddressRefused(Exception):
    """An endpoint's address is none that may be called from here."""


def check(url: str) -> None:
    """Raises AddressRefused unless it is http(s) to a public address. May look a name up."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused(f"{parts.scheme or 'an address'} is not http:// or https://")
    if settings.PRIVATE_ADDRESSES or _checked.get(parts.hostname, 0) > time.monotonic():
        return
    for address in addresses_of(parts.hostname):
        if not is_public(address):
            raise AddressRefused(
                f"{parts.hostname} is a private address; REFRACT_PRIVATE_ADDRESSES=1 allows them"
            )
    _checked[parts.hostname] = time.monotonic() + KNOWN_FOR_S


def addresses_of(host: str) -> list[str]:
    """As the connection will see them, with 127.1 and 0x7f000001 for what they are."""
    with suppress(OSError):
        return [socket.inet_ntoa(socket.inet_aton(host))]
    with suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressRefused(f"{host} cannot be found") from error
    return [str(entry[4][0]) for entry in found]


def is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return bool(mapped.is_global) and not mapped.is_multicast
