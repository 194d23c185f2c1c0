"""Signing in to the desk: the password, a second proof where there is one, and guessing neither."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from surveys import sign_in
from surveys.models import AuditEntry, Membership, Study

pytestmark = pytest.mark.django_db

PASSWORD = "long-enough-7"
SET_UP = "/admin/two-factor/"
CODE = "/admin/two-factor/code/"
STUDIES = "/admin/surveys/study/"


@pytest.fixture(autouse=True)
def uncounted() -> None:
    for name in ("ada", "bob", "nobody"):
        cache.delete_many(list(sign_in.keys_of(name, "127.0.0.1").values()))


@pytest.fixture
def ada(study: Study) -> User:
    user = User.objects.create_user("ada", password=PASSWORD, is_staff=True)
    Membership.objects.create(user=user, study=study, role="owner")
    return user


def password(client: Client, name: str = "ada", word: str = PASSWORD, **extra: Any) -> Any:
    login = reverse("admin:login")
    return client.post(login, {"username": name, "password": word}, follow=True, **extra)


def app_code(user: User, confirmed: bool = True) -> str:
    """What the app shows. The device forgets its last code, so that no test waits for the next."""
    TOTPDevice.objects.filter(user=user).update(last_t=-1)
    device = TOTPDevice.objects.get(user=user, confirmed=confirmed)
    return (
        f"{TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift).token():06d}"
    )


def not_the(code: str) -> str:
    return f"{(int(code) + 111_111) % 1_000_000:06d}"


def switched_on(user: User) -> list[str]:
    """Sets it up by its page; the recovery codes."""
    client = Client()
    password(client)
    client.get(SET_UP)
    shown = client.post(SET_UP, {"code": app_code(user, confirmed=False)})
    codes = re.findall(r"<li><code>(\w+)</code>", shown.content.decode())
    assert len(codes) == 8
    return codes


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


def at(response: Any) -> str:
    return str(response.request["PATH_INFO"])


def test_it_works(ada: User, client: Client) -> None:
    switched_on(ada)
    assert at(password(client)) == CODE
    assert "Type the code that your app shows" in words(client.get(CODE))
    inside = client.post(CODE, {"code": app_code(ada)}, follow=True)
    assert at(inside) == STUDIES
    assert client.get(reverse("admin:surveys_study_changelist")).status_code == 200
    kinds = AuditEntry.objects.filter(verb="gave a code").values_list("details", flat=True)
    assert list(kinds) == [{"kind": "app"}]


def test_it_is_set_up_with_a_picture_and_a_code(ada: User, client: Client) -> None:
    password(client)
    page = words(client.get(SET_UP))
    device = TOTPDevice.objects.get()
    assert not device.confirmed
    assert "<svg" in page
    secret = "".join(re.findall(r"<summary>.*?<code>([A-Z2-7 ]+)</code>", page)).replace(" ", "")
    assert f"secret={secret}" in device.config_url
    client.get(SET_UP)  # a reload, or another tab, shows the same
    assert TOTPDevice.objects.get() == device
    wrong = client.post(SET_UP, {"code": not_the(app_code(ada, confirmed=False))})
    assert wrong.status_code == 422
    assert "That code was not right." in words(wrong)
    assert not TOTPDevice.objects.filter(confirmed=True).exists()
    assert client.post(SET_UP, {"code": "  "}).status_code == 422


@pytest.mark.parametrize(
    "path",
    ["/admin/", "/admin/surveys/study/", "/desk/prism/export/", "/admin/two-factor/", "/metrics"],
)
def test_the_password_alone_opens_nothing(ada: User, client: Client, path: str) -> None:
    switched_on(ada)
    password(client)
    response: Any = client.get(path, follow=True)
    if path == "/metrics":
        assert response.status_code == 404
    else:
        assert at(response) == CODE
        assert response.redirect_chain
    assert b"PRISM" not in response.content


def test_one_comes_to_where_one_was_going(ada: User, client: Client) -> None:
    switched_on(ada)
    password(client)
    to = reverse("admin:surveys_study_changelist") + "?q=prism"
    client.get(to)
    response: Any = client.post(CODE, {"code": app_code(ada)})
    assert response.url == to


def test_participants_pages_do_not_mind(ada: User, client: Client) -> None:
    switched_on(ada)
    password(client)
    assert at(client.get("/s/prism/", follow=True)) == "/s/prism/consent/"


def test_a_recovery_code_opens_once(ada: User, client: Client) -> None:
    first, second, *_rest = switched_on(ada)
    password(client)
    assert at(client.post(CODE, {"code": f" {first.upper()} "}, follow=True)) == STUDIES
    again = Client()
    password(again)
    assert again.post(CODE, {"code": first}).status_code == 422
    StaticDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    assert at(again.post(CODE, {"code": second}, follow=True)) == STUDIES
    StaticToken.objects.exclude(token="").exclude(pk=StaticToken.objects.first().pk).delete()
    last = Client()
    password(last)
    shown = last.post(CODE, {"code": StaticToken.objects.get().token}, follow=True)
    assert "Few recovery codes are left: 0" in words(shown)


def test_a_code_serves_once(ada: User) -> None:
    switched_on(ada)
    code = app_code(ada)
    first, second = Client(), Client()
    for client in (first, second):
        password(client)
    assert at(first.post(CODE, {"code": code}, follow=True)) == STUDIES
    assert second.post(CODE, {"code": code}).status_code == 422


def test_guessing_codes_is_slowed_down(ada: User, client: Client) -> None:
    switched_on(ada)
    password(client)
    for _guess in range(4):
        refused = client.post(CODE, {"code": not_the(app_code(ada))})
        assert refused.status_code == 422
    assert "each waits a little longer" in words(refused)
    assert client.post(CODE, {"code": app_code(ada)}).status_code == 422  # the right one too
    assert AuditEntry.objects.filter(verb="gave a wrong code").count() == 5


def test_new_recovery_codes_and_off_take_a_code(ada: User, client: Client) -> None:
    (old, *_rest) = switched_on(ada)
    password(client)
    client.post(CODE, {"code": app_code(ada)})
    assert "8 recovery codes are left." in words(client.get(SET_UP))
    assert client.post(SET_UP, {"code": "zzzzzzzz", "off": "on"}).status_code == 422
    assert TOTPDevice.objects.exists()
    shown = client.post(SET_UP, {"code": app_code(ada), "codes": "on"})
    assert len(re.findall(r"<li><code>", shown.content.decode())) == 8
    assert not StaticToken.objects.filter(token=old).exists()
    assert StaticToken.objects.count() == 8
    client.post(SET_UP, {"code": app_code(ada), "off": "on"})
    assert not TOTPDevice.objects.exists()
    assert not StaticDevice.objects.exists()
    assert at(password(Client())) == STUDIES


def test_where_it_is_compulsory_one_sets_it_up_first(
    ada: User, client: Client, settings: Any
) -> None:
    settings.REQUIRE_2FA = True
    assert at(password(client)) == SET_UP
    assert at(client.get("/admin/surveys/study/", follow=True)) == SET_UP
    page = words(client.get(SET_UP))
    assert "This desk asks everybody" in page
    assert "Not now" not in page
    client.post(SET_UP, {"code": app_code(ada, confirmed=False)})
    assert client.get("/admin/surveys/study/").status_code == 200
    client.post(SET_UP, {"code": app_code(ada), "off": "on"})
    assert TOTPDevice.objects.exists()


def test_it_is_off_unless_it_is_asked_for(ada: User, client: Client, settings: Any) -> None:
    assert settings.REQUIRE_2FA is False
    assert at(password(client)) == STUDIES
    assert 'href="/admin/two-factor/"' in words(client.get("/admin/", follow=True))


def test_nobody_else_sets_it_up(client: Client, ada: User) -> None:
    for path in (SET_UP, CODE):
        response: Any = client.get(path)
        assert response.url.startswith(reverse("admin:login"))
    assert not TOTPDevice.objects.exists()


def test_another_accounts_code_opens_nothing(ada: User, client: Client) -> None:
    switched_on(ada)
    bob = User.objects.create_user("bob", password=PASSWORD, is_staff=True)
    TOTPDevice.objects.create(user=bob, name="desk")
    password(client, "bob")
    assert client.post(CODE, {"code": app_code(ada)}).status_code == 422


def test_an_administrator_helps_with_a_lost_phone(
    ada: User, admin_client: Client, client: Client
) -> None:
    switched_on(ada)
    listed = reverse("admin:auth_user_changelist")
    fields = {"action": "forget_two_factor", "_selected_action": [ada.pk]}
    admin_client.post(listed, fields)
    assert at(password(client)) == STUDIES
    entry = AuditEntry.objects.filter(verb="changed", actor_name="admin").latest("pk")
    assert entry.details == {"note": "two-factor sign-in off"}
    assert entry.object_id == str(ada.pk)


def test_secrets_have_no_page_of_their_own(ada: User, admin_client: Client) -> None:
    switched_on(ada)
    for path in ("otp_totp/totpdevice/", "otp_static/staticdevice/"):
        assert admin_client.get(f"/admin/{path}").status_code == 404


# Guessing passwords


def test_guessing_passwords_is_stopped(ada: User, client: Client) -> None:
    for _guess in range(5):
        assert "throttled" not in password(client, word="wrong").context["form"].errors.as_json()
    refused = password(client)  # the right one, by now
    assert "There were too many attempts to sign in." in words(refused)
    assert "sessionid" not in client.cookies
    # Neither others nor the same person elsewhere are kept out.
    assert at(password(Client(), REMOTE_ADDR="127.0.0.2")) == STUDIES


def test_the_right_password_begins_anew(ada: User) -> None:
    for _round in range(3):
        client = Client()
        for _guess in range(4):
            password(client, word="wrong")
        assert at(password(client)) == STUDIES


def test_accounts_that_are_not_there_are_answered_alike(client: Client, ada: User) -> None:
    for _guess in range(5):
        password(client, "nobody", "wrong")
    assert "There were too many attempts" in words(password(client, "nobody", "wrong"))


def test_without_the_cache_one_still_signs_in(
    ada: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: Any, **_kwargs: Any) -> None:
        raise ConnectionError

    for name in ("add", "incr", "decr", "delete_many"):
        monkeypatch.setattr(cache, name, away)
    assert at(password(client)) == STUDIES
