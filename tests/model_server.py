"""A local OpenAI-compatible server that behaves as the model's name says.

In a test: `with ModelServer() as server:`, with endpoints such as `openai/hang` at `server.url`.
By hand: `python -m tests.model_server --port 8100`.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

CHAT = "/v1/chat/completions"
MODERATIONS = "/v1/moderations"
DRIP_EVERY_S = 0.2
BACKLOG = 2048

BUSY = {429, 503}
DATE = "Date: Wed, 21 Oct 2015 07:28:00 GMT"
"""Of a server whose clock is wrong."""

TEXTS: dict[str, tuple[str | None, str]] = {
    "null-content": (None, "stop"),
    "empty": ("", "stop"),
    "whitespace": (" \n\t ", "stop"),
    "zero-width": ("\u200b\u2060", "stop"),
    "padded": ("\n\n  A reply with room around it.\n", "stop"),
    "length": ("This reply stops in the middle of a", "length"),
    "length-empty": ("", "length"),
    "filtered": ("This much was let through.", "content_filter"),
    "filtered-empty": ("", "content_filter"),
    "nul": ("before\0after", "stop"),
    "surrogate": ("before\ud800after", "stop"),
    "bidi": ("left \u202eright\u2066 \u200f\u061cleft", "stop"),
    "escape": ("\x1b[2J\x07\x08before\x0bafter\x7f", "stop"),
    "html": ("<script>alert(1)</script><b>&amp;</b>", "stop"),
    "huge": ("word " * 400_000, "stop"),
}
"""Behaviours that are nothing but a text (None is JSON's null) and a finish_reason."""


@dataclass(frozen=True)
class Request:
    body: dict[str, Any]
    authorization: str

    @property
    def model(self) -> str:
        return str(self.body["model"])


Answer = tuple[int, dict[str, Any] | str]
"""Status, and a body: JSON, or text that only claims to be."""


class ModelServer:
    """The server, on a thread and a loopback port of its own, while the `with` block lasts.

    Behaviours: those of TEXTS; `ok`; `echo` (the last user message); `says-Hello.`; `varied-4` (so
    many replies as JSON); `delay-1.5` (seconds); `together-3` (answers once so many have asked for
    it); `hang`; `drip`; `endless`; `close`; `http-500` (any status; 429 and 503 with
    `retry_after`); `redirect-307` (to `elsewhere`); `headers-9000` (so many bytes of them);
    `refused` (by a content policy); `tool-calls`; `bad-json`; `not-json`; `no-choices`; `no-usage`;
    `usage-7` (so many tokens, both ways); `cached-1000` (so many of 1,200 were sent before);
    `searched` (with a source); `flaky-then-ok` (fails once); `moderate` and its kin (see
    `moderation`). Another name is a 404, as with a real provider.
    """

    def __init__(self, port: int = 0) -> None:
        self.behaviours: dict[str, str] = {}
        """model → behaviour, where a test wants another than the name says."""
        self.requests: list[dict[str, Any]] = []
        """Bodies, in the order received."""
        self.authorizations: list[str] = []
        """The Authorization header of each."""
        self.retry_after = "1"
        """Of the refusals to come; empty for none."""
        self.elsewhere = ""
        self.cut: Counter[str] = Counter()
        """model → how often the client hung up before the answer was complete."""
        self._failures: Counter[str] = Counter({"flaky-then-ok": 1})
        self._socket = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._together: Counter[str] = Counter()
        self._all_here: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def count(self, model: str) -> int:
        """How many requests have named this model."""
        return sum(body["model"] == model for body in self.requests)

    def fail_next(self, model: str, times: int) -> None:
        """Answer the model's next requests with status 500, then behave again."""
        self._failures[model] = times

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket, backlog=BACKLOG)
        await self._stopped.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the server stops: both are how a connection ends
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False if the connection is to be closed."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split()[1]
        lines = [line.partition(":") for line in head.split("\r\n")[1:]]
        headers = {name.strip().lower(): value.strip() for name, _, value in lines}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path not in (CHAT, MODERATIONS):
            await send(writer, error(404, f"nothing at {path}"))
            return True
        request = Request(json.loads(body), headers.get("authorization", ""))
        self.requests.append(request.body)
        self.authorizations.append(request.authorization)
        try:
            return await self._behave(request, reader, writer)
        except ConnectionError:
            self.cut[request.model] += 1
            raise

    async def _behave(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        behaviour = self._behaviour_of(request.model)
        name, _, number = behaviour.partition("-")
        match name:
            case "close":
                return False
            case "hang":
                await reader.read()
                raise ConnectionResetError
            case "drip":
                await drip(writer, b" ", DRIP_EVERY_S)
            case "endless":
                await drip(writer, b" " * 2**16, 0)
            case "redirect":
                await send(writer, error(int(number), "elsewhere"), f"Location: {self.elsewhere}")
                return True
            case "http" if int(number) in BUSY and self.retry_after:
                refusal = answer(behaviour, request, 0)
                await send(writer, refusal, f"Retry-After: {self.retry_after}", DATE)
                return True
            case "headers":
                whole = answer("ok", request, len(self.requests))
                await send(writer, whole, f"X-Much: {'x' * int(number)}")
                return True
            case "delay":
                await asyncio.sleep(float(number))
            case "together":
                self._together[request.model] += 1
                if self._together[request.model] >= int(number):
                    self._all_here[request.model].set()
                await self._all_here[request.model].wait()
        await send(writer, answer(behaviour, request, len(self.requests)))
        return True

    def _behaviour_of(self, model: str) -> str:
        if self._failures[model] > 0:
            self._failures[model] -= 1
            return "http-500"
        return self.behaviours.get(model, model)


def answer(behaviour: str, request: Request, number: int) -> Answer:
    """What the number-th request of all gets."""
    if behaviour in TEXTS:
        text, reason = TEXTS[behaviour]
        return 200, completion(request, {"content": text}, reason)
    if behaviour.startswith("moderate"):
        return moderation(behaviour, request)
    if behaviour.startswith("http-"):
        # As some providers do, the refusal repeats the key.
        status = int(behaviour.removeprefix("http-"))
        return error(status, f"{HTTPStatus(status).phrase}: {request.authorization}")
    match behaviour.partition("-")[0]:
        case "ok" | "flaky" | "delay" | "together":
            text = f"This is reply number {number}."
            return 200, completion(request, {"content": text}, "stop")
        case "echo":
            text = request.body["messages"][-1]["content"]
            return 200, completion(request, {"content": text}, "stop")
        case "says":
            return 200, completion(request, {"content": behaviour[len("says-") :]}, "stop")
        case "varied":
            replies = [f"View {each} of {number}." for each in range(count_in(behaviour))]
            text = f"```json\n{json.dumps({'replies': replies})}\n```"
            return 200, completion(request, {"content": text}, "stop")
        case "usage":
            usage = dict.fromkeys(("prompt_tokens", "completion_tokens"), count_in(behaviour))
            whole = completion(request, {"content": "Hello."}, "stop")
            return 200, whole | {"usage": usage | {"total_tokens": 2 * count_in(behaviour)}}
        case "cached":
            usage = {"prompt_tokens": 1200, "completion_tokens": 10, "total_tokens": 1210}
            cached = {"prompt_tokens_details": {"cached_tokens": count_in(behaviour)}}
            whole = completion(request, {"content": "Hello."}, "stop")
            return 200, whole | {"usage": usage | cached}
    return odd_answer(behaviour, request)


CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit"),
    *("illicit/violent", "self-harm", "self-harm/instructions", "self-harm/intent", "sexual"),
    *("sexual/minors", "violence", "violence/graphic"),
)


def moderation(behaviour: str, request: Request) -> Answer:
    """`moderate`: each category that is a word of the text is flagged. `moderate-5`: of so many
    categories. `moderate-refuses`: will not have a text with “forbidden” in it."""
    texts = request.body["input"]
    option = behaviour.partition("-")[2]
    if option == "refuses" and any("forbidden" in text for text in texts):
        return error(400, "the input is not acceptable", "invalid_request_error")
    known = CATEGORIES[: int(option)] if option.isdigit() else CATEGORIES
    results = []
    for text in texts:
        found = {name: name in text.split() for name in known}
        scores = {name: 0.98765 if is_found else 0.00123 for name, is_found in found.items()}
        results.append(
            {"flagged": any(found.values()), "categories": found, "category_scores": scores}
        )
    return 200, {"id": "modr-1", "model": f"{request.model}-007", "results": results}


def count_in(behaviour: str) -> int:
    return int(behaviour.partition("-")[2])


def odd_answer(behaviour: str, request: Request) -> Answer:
    whole = completion(request, {"content": "Hello."}, "stop")
    match behaviour:
        case "bad-json":
            return 200, json.dumps(whole)[:60]
        case "not-json":
            return 200, "<html><h1>It works!</h1></html>"
        case "no-choices":
            return 200, whole | {"choices": []}
        case "no-usage":
            return 200, whole | {"usage": None}
        case "tool-calls":
            look = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            message = {"content": None, "tool_calls": [look]}
            return 200, completion(request, message, "tool_calls")
        case "searched":
            source = {"url": "https://example.org", "title": "", "start_index": 0, "end_index": 5}
            found = {"type": "url_citation", "url_citation": source}
            return 200, completion(request, {"content": "Hello.", "annotations": [found]}, "stop")
        case "refused":
            said = "Your request was rejected as a result of our safety system."
            return error(400, said, "invalid_request_error", "content_policy_violation")
    return error(404, f"there is no model {behaviour}")


def completion(request: Request, message: dict[str, Any], reason: str) -> dict[str, Any]:
    """A chat completion. A token is a word here."""
    asked = sum(len(sent["content"].split()) for sent in request.body.get("messages", ()))
    said = len((message["content"] or "").split())
    message = {"role": "assistant", **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }


def error(status: int, message: str, kind: str = "test", code: str = "") -> Answer:
    return status, {"error": {"message": message, "type": kind, "code": code or str(status)}}


async def send(writer: asyncio.StreamWriter, answer: Answer, *headers: str) -> None:
    status, body = answer
    payload = (body if isinstance(body, str) else json.dumps(body)).encode()
    writer.write(head(status, len(payload), *headers) + payload)
    await writer.drain()


def head(status: int, length: int, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def drip(writer: asyncio.StreamWriter, piece: bytes, every_s: float) -> None:
    """The head at once, then a piece at a time until the client hangs up."""
    writer.write(head(200, 10**12))
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(every_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8100)
    with ModelServer(parser.parse_args().port) as server, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"models at {server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
