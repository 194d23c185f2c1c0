"""Which servers may be asked: outside the embedded mode, none of our own network.

The connection looks a name up again, so one whose answer changes in between (DNS rebinding) still
reaches a private address: this keeps honest settings right, and a curious researcher out. Whoever
must exclude the rest lets the servers out through a proxy that refuses private addresses.
"""

import asyncio
import ipaddress
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings

KNOWN_FOR_S = 60.0
"""How long the answer for a host is kept …"""
UNKNOWN_FOR_S = 5.0
"""… and that there is none."""
UNCLEAR = re.compile(r"[\\\s\0-\x1f\x7f]")
"""Characters that one reader of addresses takes for part of the host and another doesn't."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")

# A name server that does not answer must not keep the threads of everything else waiting.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="addresses")
_checked: dict[str, tuple[float, str]] = {}
"""host → until when it is known, and why it is refused, or nothing."""


class AddressRefused(Exception):
    """An endpoint's address is none that may be called from here."""


async def check_unless_known(url: str) -> None:
    """`check`, without keeping an event loop waiting for a name."""
    if not settings.PRIVATE_ADDRESSES and verdict(host_of(url)) is None:
        await asyncio.get_running_loop().run_in_executor(_threads, check, url)
    else:
        check(url)


def check(url: str) -> None:
    """Raises AddressRefused unless it is http(s) to a public address. May look a name up."""
    host = host_of(url)
    check_listed(host)
    if settings.PRIVATE_ADDRESSES:
        return
    refused = verdict(host)
    if refused is None:
        refused = look_at(host)
    if refused:
        raise AddressRefused(refused)


def check_listed(host: str) -> None:
    """Raises AddressRefused if this server has a list of hosts and this is none of them."""
    listed = settings.MODEL_HOSTS
    if listed and not any(host == name or is_below(host, name) for name in listed):
        raise AddressRefused(f"{host} is not among this server's REFRACT_MODEL_HOSTS")


def is_below(host: str, name: str) -> bool:
    return name.startswith(".") and host.endswith(name)


@lru_cache(maxsize=256)
def host_of(url: str) -> str:
    """Raises AddressRefused if it is not an address of the web."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefused(f"{error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise AddressRefused(f"{parts.scheme or 'an address'} is not http:// or https://")
    if UNCLEAR.search(url):
        raise AddressRefused("an address has neither spaces nor backslashes")
    return host


def verdict(host: str) -> str | None:
    """Why a host is refused, empty if it is not; None if that is not known, or no longer."""
    until, refused = _checked.get(host, (0.0, ""))
    return refused if until > time.monotonic() else None


def look_at(host: str) -> str:
    try:
        found = addresses_of(host)
    except (OSError, UnicodeError):
        return remember(host, f"{host} cannot be found", UNKNOWN_FOR_S)
    if not all(map(is_public, found)):
        said = f"{host} is a private address; REFRACT_PRIVATE_ADDRESSES=1 allows them"
        return remember(host, said, KNOWN_FOR_S)
    return remember(host, "", KNOWN_FOR_S)


def remember(host: str, refused: str, seconds: float) -> str:
    _checked[host] = time.monotonic() + seconds, refused
    return refused


def addresses_of(host: str) -> list[str]:
    """As the connection will see them, with 127.1 and 0x7f000001 for what they are."""
    host = host.removesuffix(".")
    with suppress(OSError):
        return [socket.inet_ntoa(socket.inet_aton(host))]
    with suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = within(parsed) if isinstance(parsed, ipaddress.IPv6Address) else None
    reached = inner or parsed
    return reached.is_global and not reached.is_multicast and not reached.is_reserved


def within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one reach in the end."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
