"""Two-factor sign-in for the desk: setting it up, giving the code, and the gate before all pages.

After the password alone a browser is half-way in: it reaches these pages and is nobody on all
others, whatever they are.
"""

from collections.abc import Callable
from typing import Any

import segno
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_otp import devices_for_user, login, user_has_device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import UnfoldAdminTextInputWidget

from surveys import audit

RECOVERY_CODES = 8
NAME = "desk"
"""Of an account's one device of each kind."""


class CodeForm(forms.Form):
    """A code of the app, or one of the recovery codes."""

    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "text", "autofocus": ""}
        ),
    )

    def clean_code(self) -> str:
        return "".join(str(self.cleaned_data["code"]).split()).lower()


class GateMiddleware:
    """Keeps whoever is half-way in from the desk."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Participants have no session: nothing is asked of the database for them.
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not is_half_in(request.user):
            return self.get_response(request)
        if request.path in open_paths():
            return self.get_response(request)
        if request.path.startswith((reverse("admin:index"), "/desk/")):
            to = "two-factor-code" if user_has_device(request.user) else "two-factor"
            response = redirect(to)
            if request.method == "GET":
                request.session["after_code"] = request.get_full_path()
            return response
        request.user = AnonymousUser()
        return self.get_response(request)


def open_paths() -> set[str]:
    names = ("two-factor", "two-factor-code", "admin:login", "admin:logout", "admin:jsi18n")
    return {reverse(name) for name in names}


def is_half_in(user: Any) -> bool:
    if not user.is_authenticated or not user.is_staff or user.is_verified():
        return False
    return settings.REQUIRE_2FA or user_has_device(user)


@never_cache
@require_http_methods(["GET", "POST"])
@staff_member_required
def give_code(request: HttpRequest) -> HttpResponse:
    """After the password."""
    user: Any = request.user
    if user.is_verified():
        return redirect(after(request))
    if not user_has_device(user):
        return redirect("two-factor")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        was_slowed = is_slowed(user)
        device = matched(user, form.cleaned_data["code"])
        if device is not None:
            login(request, device)
            request.session.cycle_key()
            audit.write(user, "gave a code", user, kind=kind_of(device))
            warn_of_few(request)
            return redirect(after(request))
        audit.write(user, "gave a wrong code", user)
        form.add_error("code", why_not(was_slowed))
    return show(request, "code.html", form, title=_("One more step"))


@never_cache
@require_http_methods(["GET", "POST"])
@staff_member_required
def set_up(request: HttpRequest) -> HttpResponse:
    """On: how many recovery codes are left, new ones, off. Not on yet: how to set it up."""
    user: Any = request.user
    if user_has_device(user):
        if not user.is_verified():
            return redirect("two-factor-code")
        return change(request)
    device = device_to_confirm(user)
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        was_slowed = is_slowed(user)
        if device.verify_token(form.cleaned_data["code"]):
            codes = switch_on(user, device)
            login(request, device)
            request.session.cycle_key()
            return show_codes(request, codes)
        form.add_error("code", why_not(was_slowed))
    return show(
        request,
        "set_up.html",
        form,
        title=_("Two-factor sign-in"),
        picture=picture(device),
        secret=secret_of(device),
        is_required=settings.REQUIRE_2FA,
    )


def change(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        was_slowed = is_slowed(user)
        if matched(user, form.cleaned_data["code"]) is None:
            form.add_error("code", why_not(was_slowed))
        elif "codes" in request.POST:
            audit.write(user, "changed", user, note="new recovery codes")
            return show_codes(request, new_codes(user))
        elif not settings.REQUIRE_2FA:
            switch_off(user)
            audit.write(user, "changed", user, note="two-factor sign-in off")
            messages.success(request, _("Two-factor sign-in is off."))
            return redirect("admin:index")
    return show(
        request,
        "change.html",
        form,
        title=_("Two-factor sign-in is on"),
        left=codes_left(user),
        is_required=settings.REQUIRE_2FA,
    )


# Devices


def device_to_confirm(user: Any) -> TOTPDevice:
    """The one that a person is setting up, the same in two tabs and after a reload."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        found = TOTPDevice.objects.filter(user_id=user.pk, confirmed=False).first()
        return found or TOTPDevice.objects.create(user_id=user.pk, name=NAME, confirmed=False)


@transaction.atomic
def switch_on(user: Any, device: TOTPDevice) -> list[str]:
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    audit.write(user, "changed", user, note="two-factor sign-in on")
    return new_codes(user)


@transaction.atomic
def new_codes(user: Any) -> list[str]:
    """Recovery codes in place of all earlier ones; each opens once."""
    StaticDevice.objects.filter(user_id=user.pk).delete()
    device = StaticDevice.objects.create(user_id=user.pk, name=NAME)
    codes = [StaticToken.random_token() for _number in range(RECOVERY_CODES)]
    device.token_set.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


@transaction.atomic
def switch_off(user: Any) -> int:
    gone = 0
    for model in (TOTPDevice, StaticDevice):
        gone += model.objects.filter(user_id=user.pk).delete()[0]
    return gone


@transaction.atomic
def matched(user: Any, code: str) -> Any:
    """The device that accepts a code, or None. Each is locked, and slows down after failures."""
    is_of_app = code.isdecimal()
    for device in devices_for_user(user, for_verify=True):
        if isinstance(device, TOTPDevice) == is_of_app and device.verify_token(code):
            return device
    return None


def is_slowed(user: Any) -> bool:
    """Whether a device takes no code at the moment, after wrong ones."""
    return any(not device.verify_is_allowed()[0] for device in devices_for_user(user, None))


def why_not(was_slowed: bool) -> str:
    if was_slowed:
        return _(
            "That was too soon after a wrong code: after several, each waits a little longer. "
            "Please try again in a minute, with the code shown then."
        )
    return _("That code was not right. Codes last half a minute and serve once: try the next.")


def codes_left(user: Any) -> int:
    return int(StaticToken.objects.filter(device__user_id=user.pk).count())


def kind_of(device: Any) -> str:
    return "app" if isinstance(device, TOTPDevice) else "recovery code"


# Pages


def after(request: HttpRequest) -> str:
    """Where the person was going."""
    to = str(request.session.pop("after_code", ""))
    is_ours = url_has_allowed_host_and_scheme(to, allowed_hosts=None)
    return to if is_ours else reverse("admin:index")


def warn_of_few(request: HttpRequest) -> None:
    left = codes_left(request.user)
    if left < 3:
        messages.warning(
            request, _("Few recovery codes are left: %d. Please make new ones.") % left
        )


def picture(device: TOTPDevice) -> SafeString:
    """A QR code. On white in the dark too: some cameras read no other."""
    code = segno.make(device.config_url, error="m", micro=False)
    svg = code.svg_inline(scale=5, border=3, light="#fff", dark="#111")
    return mark_safe(svg)  # noqa: S308 -- segno's own drawing, with no text in it


def secret_of(device: TOTPDevice) -> str:
    """As people type it, in groups of four."""
    from base64 import b32encode

    text = b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    title = _("Your recovery codes")
    return show(request, "codes.html", None, title=title, codes=codes, next=after(request))


def show(request: HttpRequest, template: str, form: Any, **context: Any) -> HttpResponse:
    shared = admin.site.each_context(request) | {"form": form}
    is_refused = form is not None and form.is_bound
    return render(
        request,
        f"admin/two_factor/{template}",
        shared | context,
        status=422 if is_refused else 200,
    )
