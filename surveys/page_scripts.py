"""A recruiter's script on people's pages, such as Prolific's authenticity check.

It sees all that they do there. So a deployment names the hosts that such scripts may come from, it
runs only for people who came that way, from their consent until they are through, and the consent
page says so.
"""

from typing import NamedTuple
from urllib.parse import quote, urlsplit

from django.conf import settings

from surveys.models import Participant, Recruitment


class PageScript(NamedTuple):
    """What a page includes. person, study, submission: as the recruiter calls them."""

    src: str
    person: str
    study: str
    submission: str

    @property
    def host(self) -> str:
        return host_of(self.src)


def host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # as with half of an IPv6 address
        return ""


def is_listed(host: str) -> bool:
    """Whether this server lets scripts of a host on people's pages; .example.org is all below."""
    return any(
        host == name or (name.startswith(".") and host.endswith(name))
        for name in settings.SCRIPT_HOSTS
    )


def announced(participant: Participant) -> str:
    """Host of the script that will run on the person's pages; empty: there is none."""
    recruitment = participant.came_by
    host = host_of(recruitment.page_script) if recruitment else ""
    return host if host and is_listed(host) else ""


def script_for(participant: Participant) -> PageScript | None:
    """What runs on the person's pages now. No query for people without one."""
    is_through = participant.completed_at or participant.stopped_at or participant.screened_at
    if not hasattr(participant, "consent") or is_through or not announced(participant):
        return None
    recruitment = participant.came_by
    assert recruitment is not None
    latest = participant.submissions.filter(recruitment=recruitment).order_by("-pk").first()
    person = latest.person if latest else ""
    submission = latest.external_id if latest else ""
    filled = {"person": person, "study": recruitment.external_id, "submission": submission}
    return PageScript(src_of(recruitment, filled), **filled)


def src_of(recruitment: Recruitment, filled: dict[str, str]) -> str:
    src = recruitment.page_script
    for name, value in filled.items():
        src = src.replace("{" + name + "}", quote(value, safe=""))
    return src
