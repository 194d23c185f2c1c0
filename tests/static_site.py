"""A tiny site for browser tests: pages that a test wrote, static files, and what was posted."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

from django.contrib.staticfiles import finders

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Site:
    """Serves `pages` (path -> HTML) and static files; keeps every form that is posted."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.status: dict[str, HTTPStatus] = {}
        """What a path answers when posted to; else 204, as a saved draft does."""
        self.posted: list[tuple[str, dict[str, list[str]]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                file = static_file(path.removeprefix("/static/")) if "/static/" in path else None
                if file:
                    self.reply(HTTPStatus.OK, TYPES[file.suffix], file.read_bytes())
                elif path in site.pages:
                    self.reply(HTTPStatus.OK, "text/html; charset=utf-8", site.pages[path].encode())
                else:
                    self.reply(HTTPStatus.NOT_FOUND, "text/plain", b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                site.posted.append((self.path, parse_qs(body, keep_blank_values=True)))
                status = site.status.get(self.path, HTTPStatus.NO_CONTENT)
                self.reply(status, "text/html", b"" if status == HTTPStatus.NO_CONTENT else b"sent")

            def reply(self, status: HTTPStatus, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def forms(self, path: str) -> list[dict[str, list[str]]]:
        """What was posted to a path, oldest first."""
        return [fields for posted_to, fields in self.posted if posted_to == path]


def static_file(name: str) -> Path | None:
    found = finders.find(name)
    return Path(found) if isinstance(found, str) else None


@contextmanager
def serving() -> Iterator[Site]:
    site = Site()
    thread = Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()
        thread.join()
