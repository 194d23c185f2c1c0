"""The API as a program asks it: one token, JSON both ways."""

import json
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from surveys import tokens
from surveys.access import TOKEN_VERBS, Role
from surveys.models import Membership, Study

AGES_AGO = timezone.now() - timedelta(days=1)


def member(study: Study, role: str = Role.API_CLIENT, name: str = "program") -> User:
    user, _new = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    Membership.objects.update_or_create(user=user, study=study, defaults={"role": role})
    return User.objects.get(pk=user.pk)


class Program:
    """Whoever holds a token. Answers are Django's, `asked` has their JSON."""

    def __init__(self, user: User, *scopes: str, study: Study | None = None) -> None:
        end = timezone.now() + timedelta(days=1)
        self.token, self.secret = tokens.issue(user, "test", scopes or TOKEN_VERBS, study, end)
        self.client = Client()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent: dict[str, Any] = {} if body is None else {"data": json.dumps(body)}
        return self.client.generic(
            method.upper(),
            f"/api/v1/{path}",
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.secret}", **headers},
            **sent,
        )

    def get(self, path: str) -> Any:
        return good(self.ask("GET", path))

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return good(self.ask("POST", path, body, **headers))

    def patch(self, path: str, body: Any) -> Any:
        return good(self.ask("PATCH", path, body))

    def put(self, path: str, body: Any) -> Any:
        return good(self.ask("PUT", path, body))

    def lines(self, path: str) -> list[Any]:
        response = self.ask("GET", path)
        assert response.status_code == 200, response.content
        text = b"".join(response.streaming_content).decode()
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def refused(self, number: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """What the refusal says, in the one shape that all have."""
        response = self.ask(method, path, body, **headers)
        assert response.status_code == number, response.content
        said = response.json()
        assert sorted(said) == ["code", "fields", "message"]
        assert said["message"]
        return said


def good(response: Any) -> Any:
    assert response.status_code in (200, 201), response.content
    return response.json()
