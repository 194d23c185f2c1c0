"""A local server that behaves as Prolific's published API does, with its errors and limits.

In a test: `with ProlificServer() as server:`, and `server.url` as the base address. What it does
badly is told beforehand: `lose_next`, `fail_next`, `limit_next`, and `down`.
By hand: `python -m tests.prolific_server --port 8200`; it says how Refract finds it.
People take a study at /take/ID, and the completion link leads back here.
"""

import argparse
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, parse_qs, quote, urlencode, urlsplit

from surveys.prolific import signature

Json = dict[str, Any]
ROOT = "/api/v1"
TOKEN = "token-of-a-researcher"
SECRET = "secret-of-a-workspace"
COOKIE = "place"

FILTERS: list[Json] = [
    {
        "filter_id": "fluent-languages",
        "type": "select",
        "choices": {"19": "English", "22": "French", "58": "Spanish"},
    },
    {
        "filter_id": "current-country-of-residence",
        "type": "select",
        "choices": {
            "0": "United Kingdom",
            "1": "United States",
            "31": "South Africa",
            "4": "Chile",
        },
    },
    {
        "filter_id": "country-of-birth",
        "type": "select",
        "choices": {
            "0": "United Kingdom",
            "1": "United States",
            "31": "South Africa",
            "4": "Chile",
        },
    },
    {"filter_id": "sex", "type": "select", "choices": {"0": "Male", "1": "Female"}},
    {"filter_id": "age", "type": "range", "min": 18, "max": 100},
]
STUDY_FIELDS = {
    *("name", "internal_name", "description", "external_study_url", "prolific_id_option"),
    *("completion_codes", "total_available_places", "estimated_completion_time", "reward"),
    *("device_compatibility", "filters", "study_type", "maximum_allowed_time", "project"),
}
NEEDED = (
    *("name", "description", "external_study_url", "prolific_id_option", "completion_codes"),
    *("total_available_places", "estimated_completion_time", "reward"),
)
CODE_TYPES = {
    *("COMPLETED", "FAILED_ATTENTION_CHECK", "FOLLOW_UP_STUDY", "GIVE_BONUS"),
    *("INCOMPATIBLE_DEVICE", "NO_CONSENT", "OTHER", "FIXED_SCREENOUT"),
}
CATEGORIES = {
    *("TOO_QUICKLY", "TOO_SLOWLY", "FAILED_INSTRUCTIONS", "INCOMP_LONGITUDINAL", "FAILED_CHECK"),
    *("LOW_EFFORT", "MALINGERING", "NO_CODE", "BAD_CODE", "NO_DATA", "UNSUPP_DEVICE", "OTHER"),
}
OPEN = ("AWAITING REVIEW", "ACTIVE", "TIMED-OUT", "RESERVED")


class Wrong(Exception):
    """An answer that is an error: status and detail."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class ProlificServer:
    """The server, on a thread and a loopback port of its own, while the `with` block lasts."""

    def __init__(self, port: int = 0) -> None:
        self.studies: dict[str, Json] = {}
        self.submissions: dict[str, Json] = {}
        self.messages: list[Json] = []
        self.bulk_bonuses: dict[str, Json] = {}
        self.subscriptions: dict[str, Json] = {}
        self.balance = 10_000_00
        self.calls: Counter[str] = Counter()
        """METHOD path without ids -> how often it arrived."""
        self.down = False
        """Answers 503 to everything."""
        self.hides_bonuses = False
        """Has paid, and does not list it yet."""
        self._lost: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._limits: list[str | None] = []
        self._ids = count(1)
        self._lock = threading.Lock()
        self._port = port
        self._connections: list[socket.socket] = []
        self._http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{ROOT}"

    def start(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

            def setup(self) -> None:
                super().setup()
                server._connections.append(self.connection)

            def do_any(self) -> None:
                server.answer(self)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_any  # noqa: N815

        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._http.daemon_threads = True
        self._port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """From now on connections are refused; `start` again, and all is as it was."""
        if self._http:
            self._http.shutdown()
            self._http.server_close()
            self._http = None
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # What it does badly

    def lose_next(self, call: str, times: int = 1) -> None:
        """Do it, and hang up without an answer. call: "POST /studies/"."""
        self._lost[call] += times

    def fail_next(self, call: str, times: int = 1) -> None:
        """Answer with status 500 and do nothing."""
        self._failures[call] += times

    def limit_next(self, retry_after: str | None, times: int = 1) -> None:
        """Answer with 429, whatever is asked."""
        self._limits += [retry_after] * times

    # What people do there

    def reserve(self, study_id: str, participant: str, status: str = "ACTIVE") -> str:
        """Somebody takes a place; returns the submission's id, SESSION_ID."""
        study = self.studies[study_id]
        assert study["status"] == "ACTIVE", study["status"]
        submission_id = f"session{next(self._ids):04}"
        self.submissions[submission_id] = {
            "id": submission_id,
            "study_id": study_id,
            "participant_id": participant,
            "participant": participant,
            "status": status,
            "started_at": now(),
            "completed_at": None,
            "study_code": None,
            "entered_code": None,
            "return_requested": None,
            "bonus_payments": [],
        }
        return submission_id

    def enter_code(self, submission_id: str, code: str) -> None:
        """As the completion link does, with what the code sets off."""
        row = self.submissions[submission_id]
        row |= {"study_code": code, "entered_code": code, "completed_at": now()}
        row["status"] = "AWAITING REVIEW"
        codes = self.studies[row["study_id"]]["completion_codes"]
        actions: list[Json] = next((c["actions"] for c in codes if c["code"] == code), [])
        for action in actions:
            if action["action"] == "REQUEST_RETURN":
                row["return_requested"] = now()
            if action["action"] == "FIXED_SCREEN_OUT_PAYMENT":
                row["status"] = "SCREENED OUT"

    def event(
        self, resource: str, status: str, at: float | None = None, kind: str = "submission"
    ) -> tuple[bytes, dict[str, str]]:
        """A webhook's body and headers, as Django's test client takes them."""
        body = json.dumps(
            {"resource_id": resource, "event_type": f"{kind}.status.change", "status": status}
        ).encode()
        moment = str(int(at if at is not None else time.time()))
        headers = {
            "X-Event-ID": f"event-{next(self._ids)}",
            "X-Timestamp": moment,
            "X-Prolific-Request-Timestamp": moment,
            "X-Prolific-Request-Signature": signature(SECRET, moment, body),
        }
        return body, headers

    # The site, for people

    def _serve_person(self, request: BaseHTTPRequestHandler, parts: SplitResult) -> None:
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path.strip("/").split("/"):
            case ["take", study_id] if study_id in self.studies:
                self._take_part(request, study_id, query)
            case ["submissions", "complete"] if submission_id := cookie_of(request):
                self.enter_code(submission_id, query.get("cc", ""))
                say(request, 200, "Thank you: your submission waits for review.")
            case _:
                say(request, 404, "There is nothing here.")

    def _take_part(
        self, request: BaseHTTPRequestHandler, study_id: str, query: dict[str, str]
    ) -> None:
        """Take a place and go on to the study, as the button on Prolific's list does.

        What else the link carries goes along.
        """
        if self.studies[study_id]["status"] != "ACTIVE":
            say(request, 409, "This study takes nobody now.")
            return
        participant = query.pop("PROLIFIC_PID", "") or f"person{next(self._ids):04}"
        known = (
            row["id"]
            for row in self.submissions.values()
            if (row["study_id"], row["participant_id"]) == (study_id, participant)
        )
        submission_id = next(known, None) or self.reserve(study_id, participant)
        ids = {"PROLIFIC_PID": participant, "STUDY_ID": study_id, "SESSION_ID": submission_id}
        address = str(self.studies[study_id]["external_study_url"])
        for name, value in ids.items():
            address = address.replace("{{%" + name + "%}}", quote(value))
        rest = urlencode({name: value for name, value in query.items() if name not in ids})
        cookie = f"{COOKIE}={submission_id}; Path=/; HttpOnly; SameSite=Lax"
        where = "&".join(filter(None, [address, rest]))
        say(request, 302, "", {"Location": where, "Set-Cookie": cookie})

    # The API

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        raw = request.rfile.read(length)
        parts = urlsplit(request.path)
        if not parts.path.startswith(f"{ROOT}/"):
            with self._lock:
                self._serve_person(request, parts)
            return
        path = parts.path.removeprefix(ROOT)
        call = f"{request.command} {shape(path)}"
        headers: dict[str, str] = {}
        with self._lock:
            self.calls[call] += 1
            try:
                self._behave_badly(call)
                self._check_token(request.headers.get("Authorization", ""))
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                status, body = self._do(request.command, path, query, loaded(raw), headers)
            except Wrong as wrong:
                status, body = wrong.status, error_body(wrong.status, wrong.detail)
            except Limit as limit:
                status, body = 429, error_body(429, "Too many requests")
                headers |= {"Retry-After": limit.after} if limit.after is not None else {}
            lost = self._take(self._lost, call)
        if lost:
            request.close_connection = True
            request.connection.close()
            return
        content = b"" if body is None else json.dumps(body).encode()
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _behave_badly(self, call: str) -> None:
        if self.down:
            raise Wrong(503, "Service unavailable")
        if self._limits:
            raise Limit(self._limits.pop(0))
        if self._take(self._failures, call):
            raise Wrong(500, "Internal server error")

    def _take(self, counts: Counter[str], call: str) -> bool:
        if counts[call] <= 0:
            return False
        counts[call] -= 1
        return True

    def _check_token(self, authorization: str) -> None:
        if authorization != f"Token {TOKEN}":
            raise Wrong(401, "Authentication credentials were not provided or are wrong.")

    def _do(
        self, method: str, path: str, query: dict[str, str], body: Json, headers: dict[str, str]
    ) -> tuple[int, Any]:
        match [method, *path.strip("/").split("/")]:
            case ["GET", "filters"]:
                return 200, {"results": FILTERS}
            case ["POST", "studies"]:
                return 201, self._create(body)
            case ["GET", "studies"]:
                return 200, page_of(list(self.studies.values()), query)
            case ["GET", "studies", study_id]:
                return 200, self._study(study_id)
            case ["PATCH", "studies", study_id]:
                return 200, self._change(self._study(study_id), body)
            case ["POST", "studies", study_id, "transition"]:
                return 200, self._transition(self._study(study_id), body)
            case ["GET", "submissions"]:
                study = self._study(query.get("study", ""))
                rows = [
                    {k: v for k, v in row.items() if k not in ("study_id", "participant")}
                    for row in self.submissions.values()
                    if row["study_id"] == study["id"]
                ]
                return 200, page_of(rows, query)
            case ["POST", "submissions", "bonus-payments"]:
                return 201, self._prepare(body)
            case ["GET", "submissions", submission_id]:
                return 200, self._seen(self._submission(submission_id))
            case ["POST", "submissions", submission_id, "transition"]:
                return 200, self._decide(self._submission(submission_id), body)
            case ["POST", "submissions", submission_id, "request-return"]:
                return 200, self._ask_back(self._submission(submission_id), body)
            case ["POST", "bulk-bonus-payments", payment_id, "pay"]:
                self._pay(payment_id)
                return 202, None
            case ["POST", "messages"]:
                self._write(body)
                return 201, None
            case ["GET", "messages"]:
                rows = [m for m in self.messages if m["recipient_id"] == query.get("user_id")]
                return 200, {"results": rows}
            case ["POST", "hooks", "secrets"]:
                return 201, {"id": "1", "value": SECRET, "workspace_id": body["workspace_id"]}
            case ["GET", "hooks", "subscriptions"]:
                return 200, {"results": list(self.subscriptions.values())}
            case ["POST", "hooks", "subscriptions"]:
                return 201, self._subscribe(body, headers)
            case ["POST", "hooks", "subscriptions", subscription_id]:
                return 200, self._confirm(subscription_id, body)
        raise Wrong(404, "Not found")

    def _study(self, study_id: str) -> Json:
        if study_id not in self.studies:
            raise Wrong(404, "Study not found")
        return self.studies[study_id]

    def _submission(self, submission_id: str) -> Json:
        if submission_id not in self.submissions:
            raise Wrong(404, "Submission not found")
        return self.submissions[submission_id]

    def _seen(self, row: Json) -> Json:
        return row | ({"bonus_payments": []} if self.hides_bonuses else {})

    def _create(self, body: Json) -> Json:
        check_study(body)
        study_id = f"study{next(self._ids):04}"
        self.studies[study_id] = body | {"id": study_id, "status": "UNPUBLISHED"}
        return self.studies[study_id]

    def _change(self, study: Json, body: Json) -> Json:
        if study["status"] != "UNPUBLISHED":
            if set(body) - {"total_available_places", "internal_name", "name"}:
                raise Wrong(400, "Only the places of a published study can be changed.")
            if body.get("total_available_places", 10**9) < study["total_available_places"]:
                raise Wrong(400, {"total_available_places": ["Places can only be increased."]})
        check_filters(body.get("filters", []))
        study |= body
        return study

    def _transition(self, study: Json, body: Json) -> Json:
        action = body.get("action")
        steps = {
            "PUBLISH": ("UNPUBLISHED", "ACTIVE"),
            "PAUSE": ("ACTIVE", "PAUSED"),
            "START": ("PAUSED", "ACTIVE"),
            "STOP": ("ACTIVE", "AWAITING REVIEW"),
        }
        if action not in steps:
            raise Wrong(400, {"action": ["Not a valid choice."]})
        before, after = steps[action]
        if study["status"] != before and not (action == "STOP" and study["status"] == "PAUSED"):
            raise Wrong(400, f"A study that is {study['status']} cannot {action}.")
        if action == "PUBLISH" and study["reward"] * study["total_available_places"] > self.balance:
            raise Wrong(400, "Your account has not enough funds to publish this study.")
        study["status"] = after
        return study

    def _decide(self, row: Json, body: Json) -> Json:
        action = body.get("action")
        if action not in ("APPROVE", "REJECT"):
            raise Wrong(400, {"action": ["Not a valid choice."]})
        wanted = {"APPROVE": "APPROVED", "REJECT": "REJECTED"}[action]
        if row["status"] == wanted:
            return row  # idempotent
        if row["status"] not in OPEN:
            raise Wrong(400, f"A submission that is {row['status']} cannot be changed.")
        if action == "REJECT":
            if len(body.get("message", "")) < 100:
                raise Wrong(400, {"message": ["Ensure this field has at least 100 characters."]})
            if body.get("rejection_category") not in CATEGORIES:
                raise Wrong(400, {"rejection_category": ["Not a valid choice."]})
        row["status"] = wanted
        return row

    def _ask_back(self, row: Json, body: Json) -> Json:
        if not body.get("request_return_reasons"):
            raise Wrong(400, {"request_return_reasons": ["This field is required."]})
        row["return_requested"] = row["return_requested"] or now()
        return {k: row[k] for k in ("id", "status", "participant", "return_requested")}

    def _prepare(self, body: Json) -> Json:
        study = self._study(body.get("study_id", ""))
        lines = [line.split(",") for line in body.get("csv_bonuses", "").split("\n") if line]
        for submission_id, _amount in lines:
            if self._submission(submission_id)["study_id"] != study["id"]:
                raise Wrong(400, "The submission is of another study.")
        payment_id = f"bulk{next(self._ids):04}"
        self.bulk_bonuses[payment_id] = {"lines": lines, "paid": 0}
        return {"id": payment_id, "study": study["id"], "amount": 0, "fees": 0, "total_amount": 0}

    def _pay(self, payment_id: str) -> None:
        """Not idempotent: asked twice, it pays twice."""
        if payment_id not in self.bulk_bonuses:
            raise Wrong(404, "Not found")
        payment = self.bulk_bonuses[payment_id]
        payment["paid"] += 1
        for submission_id, amount in payment["lines"]:
            self.submissions[submission_id]["bonus_payments"].append(round(float(amount) * 100))

    def _write(self, body: Json) -> None:
        for name in ("recipient_id", "body", "study_id"):
            if not body.get(name):
                raise Wrong(400, {name: ["This field is required."]})
        self._study(body["study_id"])
        self.messages.append(body | {"sent_at": now()})

    def _subscribe(self, body: Json, headers: dict[str, str]) -> Json:
        if not str(body.get("target_url", "")).startswith("https://"):
            raise Wrong(400, {"target_url": ["Must be https."]})
        subscription_id = f"hook{next(self._ids):04}"
        secret = f"confirm-{subscription_id}"
        self.subscriptions[subscription_id] = body | {"id": subscription_id, "is_enabled": False}
        headers["X-Hook-Secret"] = secret
        return self.subscriptions[subscription_id]

    def _confirm(self, subscription_id: str, body: Json) -> Json:
        if body.get("secret") != f"confirm-{subscription_id}":
            raise Wrong(400, "The secret does not fit.")
        self.subscriptions[subscription_id]["is_enabled"] = True
        return self.subscriptions[subscription_id]


class Limit(Exception):
    def __init__(self, after: str | None) -> None:
        super().__init__()
        self.after = after


def cookie_of(request: BaseHTTPRequestHandler) -> str:
    """The submission of the browser that asks; empty if it never took a place."""
    found = SimpleCookie(request.headers.get("Cookie", "")).get(COOKIE)
    return found.value if found else ""


def say(
    request: BaseHTTPRequestHandler, status: int, text: str, headers: dict[str, str] | None = None
) -> None:
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Type", "text/plain; charset=utf-8")
    request.send_header("Content-Length", str(len(text.encode())))
    request.end_headers()
    request.wfile.write(text.encode())


def shape(path: str) -> str:
    """/studies/study0001/ -> /studies/:id/."""
    known = {"studies", "submissions", "filters", "messages", "hooks", "secrets", "subscriptions"}
    known |= {"transition", "request-return", "bonus-payments", "bulk-bonus-payments", "pay", ""}
    return "/".join(part if part in known else ":id" for part in path.split("/"))


def loaded(raw: bytes) -> Json:
    try:
        found = json.loads(raw or b"{}")
    except ValueError as error:
        raise Wrong(400, "JSON parse error") from error
    return found if isinstance(found, dict) else {}


def error_body(status: int, detail: Any) -> Json:
    title = {400: "Bad request", 401: "Unauthorized", 404: "Not found"}.get(status, "Error")
    return {"error": {"status": status, "title": title, "detail": detail, "additional_info": "/"}}


def page_of(rows: list[Json], query: dict[str, str]) -> Json:
    size, page = int(query.get("page_size", 20)), int(query.get("page", 1))
    found = rows[(page - 1) * size : page * size]
    return {"results": found, "_links": {}, "meta": {"count": len(rows)}}


def check_study(body: Json) -> None:
    missing = {name: ["This field is required."] for name in NEEDED if not body.get(name)}
    unknown = {name: ["Unknown field."] for name in body if name not in STUDY_FIELDS}
    if missing | unknown:
        raise Wrong(400, missing | unknown)
    if body["reward"] * 60 / body["estimated_completion_time"] < 600:
        raise Wrong(400, {"reward": ["The reward is below the minimum hourly rate."]})
    codes = [code["code"] for code in body["completion_codes"]]
    if len(set(codes)) < len(codes):
        raise Wrong(400, {"completion_codes": ["Each code must be unique within a study."]})
    for code in body["completion_codes"]:
        if code["code_type"] not in CODE_TYPES or not code["actions"]:
            raise Wrong(400, {"completion_codes": ["Not a valid completion code."]})
        for action in code["actions"]:
            fixed = action.get("fixed_screen_out_reward", 0)
            if action["action"] == "FIXED_SCREEN_OUT_PAYMENT" and fixed >= body["reward"]:
                raise Wrong(400, {"completion_codes": ["Must be less than the reward."]})
    check_filters(body.get("filters", []))


def check_filters(filters: list[Json]) -> None:
    known = {row["filter_id"]: row for row in FILTERS}
    for row in filters:
        if row["filter_id"] == "previous_studies_blocklist":
            continue
        if row["filter_id"] not in known:
            raise Wrong(400, {"filters": [f"Unknown filter {row['filter_id']}."]})
        if "labels" in row:
            raise Wrong(400, {"filters": ["Unknown field labels."]})
        choices = known[row["filter_id"]].get("choices", {})
        if set(row.get("selected_values", [])) - set(choices):
            raise Wrong(400, {"filters": ["Not a valid choice."]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8200)
    with ProlificServer(parser.parse_args().port) as server:
        site = server.url.removesuffix(ROOT)
        print(  # noqa: T201
            f"Start Refract with REFRACT_PROLIFIC_URL={server.url} REFRACT_PROLIFIC_SITE={site} "
            f"REFRACT_PROLIFIC_TOKEN={TOKEN} REFRACT_PROLIFIC_WEBHOOK_SECRET={SECRET}\n"
            f"People take a published study at {site}/take/ID",
            flush=True,
        )
        threading.Event().wait()


if __name__ == "__main__":
    main()
