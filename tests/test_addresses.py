"""Outside the embedded mode no endpoint reaches into our own network."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from collection import llm
from collection.llm import addresses
from collection.llm.addresses import AddressRefused, check
from tests.model_server import ModelServer


@pytest.fixture(autouse=True)
def public_only(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PRIVATE_ADDRESSES = False
    monkeypatch.setattr(addresses, "_checked", {})


PRIVATE = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "0.0.0.0"),
    *("10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"),
    *("[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]"),
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="private address"):
        check(f"http://user:word@{host}:8000/v1")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2001:4860:4860::8888]"])
def test_public_ones_are_not(host: str) -> None:
    check(f"https://{host}/v1")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://8.8.8.8", "8.8.8.8", "http://", ""])
def test_only_http(url: str) -> None:
    with pytest.raises(AddressRefused, match="not http"):
        check(url)


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "addresses_of", lambda host: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(AddressRefused, match=r"models\.example"):
        check("https://models.example/v1")


def test_a_name_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*_args: object, **_kwargs: object) -> None:
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", not_found)
    with pytest.raises(AddressRefused, match="cannot be found"):
        check("https://models.example/v1")


def test_a_call_is_refused_before_it_is_made(model_server: ModelServer) -> None:
    spec = llm.ModelSpec("openai/ok", model_server.url, "", {})
    before = model_server.count("ok")
    messages = [{"role": "user", "content": "Hello?"}]
    reply = async_to_sync(llm.complete)(spec, messages, limit_s=10, seed=0)
    assert (reply.outcome, reply.error_class) == ("error", "AddressRefused")
    assert model_server.count("ok") == before


def test_where_they_are_allowed_nothing_is_looked_up(settings: Any) -> None:
    settings.PRIVATE_ADDRESSES = True
    check("http://127.0.0.1:8000/v1")
