"""A local server that behaves as the Hugging Face hub's API does towards its own client.

It creates repositories, takes files in one commit (large ones first, by LFS), keeps tags, and
squashes history."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_local"
LARGE = 20_000
"""Bytes from which a file goes by LFS."""


class HubServer:
    """repositories: name -> branch or tag -> commits, each path -> content. Tags have one."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, list[dict[str, bytes]]]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        """sha256 -> content."""
        self.status = 0
        """Of all answers, if not 0: the hub is in trouble."""
        outer = self

        class Handler(Answers):
            hub = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def files(self, repository: str, revision: str = "main") -> dict[str, bytes]:
        return self.repositories[repository][revision][-1]

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Answers(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, content: Any, status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self, method: str) -> None:
        body = self.body()
        path = unquote(urlsplit(self.path).path)
        is_signed = path.startswith("/upload/") or TOKEN in self.headers.get("Authorization", "")
        if self.hub.status or not is_signed:
            self.answer({"error": "no"}, self.hub.status or 401)
            return
        steps = path.strip("/").split("/")
        match (method, steps):
            case ("POST", ["api", "repos", "create"]):
                self.create(json.loads(body))
            case ("POST", ["api", "validate-yaml"]):
                self.answer({"errors": [], "warnings": []})
            case ("PUT", ["upload", sha256]):
                assert hashlib.sha256(body).hexdigest() == sha256
                self.hub.large[sha256] = body
                self.answer({})
            case ("POST", ["datasets", owner, name, "info", "lfs", "objects", "batch"]):
                assert f"{owner}/{name.removesuffix('.git')}" in self.hub.repositories
                self.batch(json.loads(body))
            case (_, ["api", "datasets", owner, name, *rest]):
                self.in_repository(method, f"{owner}/{name}", rest, body)
            case _:
                self.answer({"error": f"{method} {path}"}, 404)

    def in_repository(self, method: str, name: str, steps: list[str], body: bytes) -> None:
        branches = self.hub.repositories[name]
        match (method, steps):
            case ("POST", ["preupload", _revision]):
                files = json.loads(body)["files"]
                self.answer({"files": [mode_of(file) for file in files]})
            case ("POST", ["commit", revision]):
                self.commit(name, branches[revision], body)
            case ("GET", ["tree", revision]):
                paths = branches[revision][-1]
                self.answer(
                    [
                        {"type": "file", "path": p, "size": len(c), "oid": "0"}
                        for p, c in paths.items()
                    ]
                )
            case ("GET", ["refs"]):
                tags = [{"name": t, "ref": f"refs/tags/{t}", "targetCommit": "0"} for t in branches]
                self.answer({"branches": [], "converts": [], "tags": tags})
            case ("POST", ["tag", _revision]):
                branches[json.loads(body)["tag"]] = [branches["main"][-1]]
                self.answer({})
            case ("DELETE", ["tag", tag]):
                del branches[tag]
                self.answer({})
            case ("POST", ["super-squash", branch]):
                branches[branch] = branches[branch][-1:]
                self.answer({"commitId": "0"})
            case ("GET", [] | ["revision", _]):
                siblings = [{"rfilename": path} for path in branches["main"][-1]]
                self.answer({"id": name, "sha": "0" * 40, "siblings": siblings})
            case _:
                self.answer({"error": "/".join(steps)}, 404)

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        self.hub.private.setdefault(name, asked.get("visibility") == "private")
        known = name in self.hub.repositories
        self.hub.repositories.setdefault(name, {"main": [{}]})
        self.answer({"url": f"{self.hub.url}/datasets/{name}", "name": name}, 409 if known else 200)

    def batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**row, "actions": {"upload": {"href": f"{self.hub.url}/upload/{row['oid']}"}}}
            for row in asked["objects"]
        ]
        self.answer({"transfer": "basic", "objects": objects})

    def commit(self, name: str, commits: list[dict[str, bytes]], body: bytes) -> None:
        files = dict(commits[-1])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            match entry["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        commits.append(files)
        url = f"{self.hub.url}/datasets/{name}/commit/0"
        self.answer({"commitUrl": url, "commitOid": "0" * 40})

    def do_GET(self) -> None:
        self.handle_one("GET")

    def do_POST(self) -> None:
        self.handle_one("POST")

    def do_PUT(self) -> None:
        self.handle_one("PUT")

    def do_DELETE(self) -> None:
        self.handle_one("DELETE")


def mode_of(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["size"] >= LARGE else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
