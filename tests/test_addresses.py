"""Outside the embedded mode no endpoint reaches into our own network."""

import threading
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
    *("[::127.0.0.1]", "[64:ff9b::a00:1]", "[2002:7f00:1::]", "[ff02::1]", "[fe80::1%25lo]"),
    *("127.0.0.1.", "LOCALHOST", "255.255.255.255", "192.0.2.1", "0"),
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="private address"):
        check(f"http://user:word@{host}:8000/v1")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2001:4860:4860::8888]"])
def test_public_ones_are_not(host: str) -> None:
    check(f"https://{host}/v1")


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8\\@127.0.0.1/v1",
        "http://8.8.8.8 /v1",
        "http://8.8.8.8\t.example",
        "http://8.8.8.8:seven/",
        "http://8.8.8.8:70000/",
        "http://[::1/",
    ],
)
def test_what_others_may_read_otherwise(url: str) -> None:
    with pytest.raises(AddressRefused):
        check(url)


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
    for _again in range(2):
        with pytest.raises(AddressRefused, match="cannot be found"):
            check("https://models.example/v1")


def test_an_answer_is_kept_for_a_while_and_nothing_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ["8.8.8.8"]
    threads = []

    def look_up(host: str) -> list[str]:
        threads.append(threading.current_thread().name)
        return found

    monkeypatch.setattr(addresses, "addresses_of", look_up)
    clock = Clock()
    monkeypatch.setattr(addresses, "time", clock)
    ask = async_to_sync(addresses.check_unless_known)
    for _again in range(3):
        ask("https://models.example/v1")
    assert [name.partition("_")[0] for name in threads] == ["addresses"]
    found[:] = ["10.0.0.1"]
    clock.now += addresses.KNOWN_FOR_S
    for _again in range(2):
        with pytest.raises(AddressRefused, match="private"):
            ask("https://models.example/v1")
    assert len(threads) == 2


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_a_call_without_an_address_is_not_checked(settings: Any) -> None:
    settings.DEMO_LATENCY_SCALE = 0
    spec = llm.ModelSpec("refract-demo/terse", "", "", {})
    messages = [{"role": "user", "content": "Hello?"}]
    assert async_to_sync(llm.complete)(spec, messages, limit_s=20, seed=0).outcome == "ok"


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
