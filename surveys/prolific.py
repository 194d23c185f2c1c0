"""Prolific's public API, version 1, and the signature of its webhooks.

Every call ends in its answer; in NotConnected, Unreachable or Limited (nothing has happened there);
in Refused (nothing will); or in Unanswered: it may have happened, and only looking it up can tell.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings

if TYPE_CHECKING:  # importing it takes longer than all else that a command needs
    import httpx

TIMEOUT_S = 20.0
PAGE = 100
WORDS_KEPT = 400
"""Characters of what Prolific says about a refusal."""

Json = dict[str, Any]


class ProlificError(Exception):
    """What went wrong, in a sentence for the desk."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotConnected(ProlificError):
    """There is no token, or it is not accepted: nothing happens until somebody sets one."""


class Unreachable(ProlificError):
    """No connection: nothing was sent."""


class Limited(ProlificError):
    """Too much at once. `retry_after_s` is what Prolific asks for, if it does."""

    def __init__(self, message: str, retry_after_s: float | None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unanswered(ProlificError):
    """Sent, and no answer or one that says nothing: it may have happened."""


class Refused(ProlificError):
    """Prolific will not do it however often it is asked."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Prolific:
    """One connection; close it, or use it in a `with` block."""

    def __init__(self, url: str = "", token: str = "") -> None:
        self._token = token or settings.PROLIFIC_TOKEN
        if not self._token:
            raise NotConnected("There is no token for Prolific: set REFRACT_PROLIFIC_TOKEN.")
        import httpx

        self._http = httpx.Client(
            base_url=(url or settings.PROLIFIC_URL).rstrip("/"),
            headers={"Authorization": f"Token {self._token}"},
            timeout=TIMEOUT_S,
            follow_redirects=False,  # a token must not travel
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    # Studies

    def create_study(self, study: Json) -> Json:
        return self._call("POST", "/studies/", study)

    def study(self, study_id: str) -> Json:
        return self._call("GET", f"/studies/{study_id}/")

    def studies(self) -> Iterator[Json]:
        return self._pages("/studies/", {})

    def filters(self) -> list[Json]:
        """Each with filter_id, type (select or range) and, of a select, choices: id -> label."""
        return results(self._call("GET", "/filters/"))

    def change_study(self, study_id: str, changes: Json) -> Json:
        """Of a published study: its name, and its places, which can only be raised."""
        return self._call("PATCH", f"/studies/{study_id}/", changes)

    def transition_study(self, study_id: str, action: str) -> Json:
        """action: PUBLISH, PAUSE, START or STOP."""
        return self._call("POST", f"/studies/{study_id}/transition/", {"action": action})

    # Submissions

    def submissions(self, study_id: str) -> Iterator[Json]:
        return self._pages("/submissions/", {"study": study_id})

    def submission(self, submission_id: str) -> Json:
        return self._call("GET", f"/submissions/{submission_id}/")

    def transition_submission(self, submission_id: str, decision: Json) -> Json:
        """decision: {"action": "APPROVE"}, or REJECT with message and rejection_category."""
        return self._call("POST", f"/submissions/{submission_id}/transition/", decision)

    def request_return(self, submission_id: str, reason: str) -> Json:
        reasons = {"request_return_reasons": [reason]}
        return self._call("POST", f"/submissions/{submission_id}/request-return/", reasons)

    # Money and words

    def prepare_bonus(self, study_id: str, csv_bonuses: str) -> str:
        """The id of a payment that has yet to be made. Preparing it twice pays nobody."""
        body = {"study_id": study_id, "csv_bonuses": csv_bonuses}
        return str(named(self._call("POST", "/submissions/bonus-payments/", body), "id"))

    def pay_bonus(self, payment_id: str) -> None:
        """Never to be repeated blindly: Prolific pays again."""
        self._call("POST", f"/bulk-bonus-payments/{payment_id}/pay/")

    def send_message(self, person: str, study_id: str, body: str) -> None:
        message = {"recipient_id": person, "study_id": study_id, "body": body}
        self._call("POST", "/messages/", message)

    def messages(self, person: str) -> list[Json]:
        return results(self._call("GET", "/messages/", params={"user_id": person}))

    # Webhooks

    def new_webhook_secret(self, workspace: str) -> str:
        return str(
            named(self._call("POST", "/hooks/secrets/", {"workspace_id": workspace}), "value")
        )

    def subscriptions(self, workspace: str) -> list[Json]:
        params = {"workspace_id": workspace}
        return results(self._call("GET", "/hooks/subscriptions/", params=params))

    def subscribe(self, workspace: str, event_type: str, target_url: str) -> str:
        """Subscribes and confirms; returns the subscription's id."""
        body = {"workspace_id": workspace, "event_type": event_type, "target_url": target_url}
        response = self._send("POST", "/hooks/subscriptions/", body)
        subscription = str(response.json()["id"])
        secret = response.headers.get("X-Hook-Secret", "")
        self._call("POST", f"/hooks/subscriptions/{subscription}/", {"secret": secret})
        return subscription

    # What they share

    def _pages(self, path: str, params: dict[str, str]) -> Iterator[Json]:
        page = 1
        while True:
            asked: dict[str, Any] = {**params, "page": page, "page_size": PAGE}
            found = results(self._call("GET", path, params=asked))
            yield from found
            if len(found) < PAGE:
                return
            page += 1

    def _call(
        self, method: str, path: str, body: Json | None = None, params: Json | None = None
    ) -> Json:
        response = self._send(method, path, body, params)
        if not response.content:
            return {}
        try:
            found = response.json()
        except ValueError as error:
            raise Unanswered("Prolific's answer could not be read.") from error
        if not isinstance(found, dict):
            raise Unanswered("Prolific's answer has another form than is documented.")
        return found

    def _send(
        self, method: str, path: str, body: Json | None = None, params: Json | None = None
    ) -> "httpx.Response":
        import httpx

        try:
            response = self._http.request(method, path, json=body, params=params)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unreachable("Prolific cannot be reached.") from error
        except httpx.HTTPError as error:
            raise Unanswered("The connection to Prolific broke before it answered.") from error
        if response.is_success:
            return response
        raise failure(response)


def named(found: Json, name: str) -> Any:
    if name not in found:
        raise Unanswered(f"Prolific's answer has no {name}.")
    return found[name]


def results(found: Json) -> list[Json]:
    rows = named(found, "results")
    if not isinstance(rows, list):
        raise Unanswered("Prolific's answer has another form than is documented.")
    return rows


def failure(response: "httpx.Response") -> ProlificError:
    status = response.status_code
    said = said_by(response)
    if status == 429:
        return Limited("Prolific asks us to slow down.", retry_after_s(response))
    if status == 401:
        return NotConnected("Prolific does not accept our token: see REFRACT_PROLIFIC_TOKEN.")
    if status == 403:
        return Refused(f"Prolific does not allow our token to do this. {said}", status)
    if status < 500 and status not in (408, 425):
        return Refused(f"Prolific says no ({status}): {said or 'without a reason'}", status)
    return Unanswered(f"Prolific has trouble of its own ({status}).")


def said_by(response: "httpx.Response") -> str:
    """Of {"error": {"title", "detail": text, list or field -> texts}}, the words."""
    try:
        error = response.json().get("error", {})
        detail = error.get("detail") or error.get("title") or ""
    except (ValueError, AttributeError):
        return ""
    return " ".join(flat(detail))[:WORDS_KEPT]


def flat(detail: Any) -> Iterator[str]:
    if isinstance(detail, dict):
        for name, part in detail.items():
            yield f"{name}: {' '.join(flat(part))}"
    elif isinstance(detail, list):
        for part in detail:
            yield from flat(part)
    else:
        yield str(detail)


def retry_after_s(response: "httpx.Response") -> float | None:
    """Retry-After, in seconds or as a date."""
    raw = response.headers.get("Retry-After", "").strip()
    if raw.isdecimal():
        return float(raw)
    try:
        at = parsedate_to_datetime(raw)
    except ValueError:
        return None
    now = parsedate_to_datetime(response.headers["Date"]) if "Date" in response.headers else None
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Of a webhook: HMAC-SHA256 of timestamp and body, base64."""
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def is_genuine(secret: str, timestamp: str, body: bytes, claimed: str) -> bool:
    if not secret:
        return False
    return hmac.compare_digest(signature(secret, timestamp, body).encode(), claimed.encode())
