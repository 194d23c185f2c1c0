"""An OpenAI-compatible server that answers every request after one second, in its own process.

`python -m tests.bench.stub --port 8100`. It shares its processor with what it serves: about 0.05 ms
per request, where an HTTP library would take ten times that.
"""

import argparse
import asyncio
import json
import re

ANSWERS_AFTER_S = 1.0
MODEL = "openai/gpt-4o-mini"
"""A name whose price litellm knows, as it does of most models that people call."""
PARAMETERS = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 256}
BACKLOG = 2048
"""A burst of 200 people opens 800 connections at once."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TEXT = (
    "There are a few things worth weighing here, and they pull in different directions. On the one "
    "hand you would gain some time for yourself; on the other, the people around you may need a "
    "while to get used to it. Which of the two matters more to you at the moment?"
)
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 0,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 60, "completion_tokens": 58, "total_tokens": 118},
}


def response(body: object) -> bytes:
    text = json.dumps(body).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(text)}\r\n\r\n".encode() + text


ANSWER = response(COMPLETION)


class Stub(asyncio.Protocol):
    """One connection. A POST is a call, to any address; a GET tells how many there were."""

    calls = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not gap or (length and len(body) < int(length[1])):
            return
        self._received = b""
        if head.startswith(b"POST "):
            Stub.calls += 1
            asyncio.get_running_loop().call_later(ANSWERS_AFTER_S, self._write, ANSWER)
        else:
            self._write(response(Stub.calls))

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8100)
    asyncio.run(serve(parser.parse_args().port))
