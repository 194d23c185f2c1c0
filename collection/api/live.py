"""A study as it goes on, line by line: for those who watch it from a notebook.

Each line has a cursor; whoever asks `after` the last one gets what came since, in an order that
never changes. The rows are the release's, with numbers that stay: a release gives its own, and
knows what can only be known at the end (`AT_THE_END`).
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from django.db.models import Count, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers

from collection.api.base import ApiView, described
from collection.api.fields import Strict, checked
from collection.api.who import note, study_for
from collection.export import tables
from collection.export.codebook import Codebook
from collection.export.columns import Table, keys
from collection.export.loading import load_answering
from collection.export.plan import batches, version_of
from collection.export.redaction import cover
from collection.export.rows import (
    conversation_values,
    history,
    reply_values,
    shown_text,
)
from collection.export.selection import MIN_TURNS, ReleasedConversation, ReleasedUser
from collection.export.survey_rows import survey_values
from collection.export.write import line, snapshot
from collection.models import AttributeRating, Conversation, Interaction, Utterance
from surveys import veil
from surveys.models import Participant, Study
from surveys.sending import streamed

TAG = "Live"
LAG = timedelta(seconds=30)
"""Nothing younger is sent: what was written first may be committed last, and would be skipped."""
MOST = 5000
USUAL = 1000
AT_ONCE = 100
"""Rows loaded together."""
AT_THE_END = {
    *("survey_only", "num_completed_conversations"),
    *("included_in_US_REP", "included_in_UK_REP", "included_in_balanced_subset"),
}
CURSOR = re.compile(r"([0-9]{1,17})-([0-3])-([0-9]{1,18})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands among all that was completed. rank: of its kind in KINDS."""

    at: datetime
    rank: int
    pk: int

    def __str__(self) -> str:
        return f"{(self.at - EPOCH) // timedelta(microseconds=1)}-{self.rank}-{self.pk}"


def place_of(cursor: str) -> Place | None:
    """None for what is no cursor."""
    found = CURSOR.fullmatch(cursor)
    if not found:
        return None
    micros, rank, pk = map(int, found.groups())
    return Place(EPOCH + timedelta(microseconds=micros), rank, pk)


# What is complete, and when it was


def surveys(study: Study, with_pilot: bool) -> QuerySet[Any]:
    return study.participants.released(with_pilot=with_pilot).annotate(at=F("survey_finished_at"))


def replies(study: Study, with_pilot: bool) -> QuerySet[Any]:
    people = study.participants.released(with_pilot=with_pilot)
    rated = Utterance.objects.filter(
        interaction__conversation__participant__in=people,
        interaction__state=Interaction.State.RATED,
        interaction__rated_at__isnull=False,
    )
    return rated.annotate(at=F("interaction__rated_at"))


def talks(study: Study, with_pilot: bool) -> QuerySet[Any]:
    """Without those that no release takes either: too short, or not rated to the end."""
    people = study.participants.released(with_pilot=with_pilot)
    complete = Conversation.objects.filter(
        participant__in=people,
        state=Conversation.State.COMPLETE,
        finished_at__isnull=False,
        closed_at__isnull=False,
        feedback__isnull=False,
    )
    rated = AttributeRating.objects.filter(attribute__in=keys(tables.PERFORMANCE))
    turns = Interaction.objects.filter(state=Interaction.State.RATED)
    whole = complete.annotate(turns=number_of(turns), rated=number_of(rated))
    all_lines = len(tables.PERFORMANCE.keys) + len(tables.CHOICE.keys)
    found = whole.filter(turns__gte=MIN_TURNS, rated__gte=all_lines)
    dated: QuerySet[Any] = found.annotate(at=F("closed_at"))
    return dated


def number_of(rows: QuerySet[Any]) -> Any:
    """A subquery each: joined, their rows would multiply."""
    mine = rows.filter(conversation=OuterRef("pk")).order_by().values("conversation")
    return Coalesce(Subquery(mine.annotate(n=Count("pk")).values("n")), 0)


def withdrawals(study: Study, with_pilot: bool) -> QuerySet[Any]:
    """Of people who may have been in it: whoever keeps the lines deletes theirs."""
    gone = study.participants.filter(withdrawn_at__isnull=False, survey_finished_at__isnull=False)
    found = gone if with_pilot else gone.filter(is_pilot=False)
    return found.annotate(at=F("withdrawn_at"))


Found = Callable[[Study, bool], QuerySet[Any]]
KINDS: dict[str, Found] = {
    "survey": surveys,
    "utterances": replies,
    "conversations": talks,
    "withdrawn": withdrawals,
}
"""In the order in which those of the same moment come. Ranks are in cursors: add at the end."""


def places(
    study: Study, kinds: Sequence[str], after: Place | None, limit: int, with_pilot: bool
) -> list[tuple[str, Place]]:
    """(kind, place) of what comes after, the earliest first."""
    until = timezone.now() - LAG
    found: list[tuple[str, Place]] = []
    for rank, (kind, rows) in enumerate(KINDS.items()):
        if kind not in kinds:
            continue
        ready = rows(study, with_pilot).filter(at__lte=until)
        if after is not None:
            ready = ready.filter(beyond(after, rank))
        listed = ready.order_by("at", "pk").values_list("at", "pk")[:limit]
        found += [(kind, Place(at, rank, pk)) for at, pk in listed]
    return sorted(found, key=lambda pair: pair[1])[:limit]


def beyond(after: Place, rank: int) -> Q:
    if rank < after.rank:
        return Q(at__gt=after.at)
    if rank > after.rank:
        return Q(at__gte=after.at)
    return Q(at__gt=after.at) | Q(at=after.at, pk__gt=after.pk)


# Rows


@dataclass(frozen=True)
class Said:
    """What a line says. row: None for a withdrawal."""

    participant: Participant
    row: dict[str, Any] | None


class Rows:
    """Loads rows in batches, and makes of them what a release has."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._tables: dict[str, Table] = {}
        self._hidden = veil.passages_of_study(study)

    def of(self, kind: str, wanted: list[int]) -> dict[int, Said]:
        found: dict[int, Said] = getattr(self, kind)(wanted)
        return found

    def withdrawn(self, wanted: list[int]) -> dict[int, Said]:
        people = Participant.objects.in_bulk(wanted)
        return {pk: Said(person, None) for pk, person in people.items()}

    def survey(self, wanted: list[int]) -> dict[int, Said]:
        people = load_answering(wanted, "orders")
        return {pk: Said(person, self.survey_row(person)) for pk, person in people.items()}

    def survey_row(self, person: Participant) -> dict[str, Any]:
        sha256 = person.instrument.sha256
        if sha256 not in self._tables:
            version = version_of(person.instrument)
            self._tables[sha256] = Codebook((version,), self.study.protocol).survey
        return self.known(person, self._tables[sha256], survey_values(user_of(person), person))

    def utterances(self, wanted: list[int]) -> dict[int, Said]:
        rows = Utterance.objects.prefetch_related(
            "endpoint", "interaction__conversation__participant"
        ).in_bulk(wanted)
        table = Codebook((version_of(self.study.instrument),), self.study.protocol).utterances
        people = {pk: row.interaction.conversation.participant for pk, row in rows.items()}
        return {
            pk: Said(people[pk], self.known(people[pk], table, reply_row(row)))
            for pk, row in rows.items()
        }

    def conversations(self, wanted: list[int]) -> dict[int, Said]:
        replies = Utterance.objects.select_related("endpoint").order_by("within_turn_id")
        rated = Interaction.objects.filter(state=Interaction.State.RATED).order_by("turn")
        turns = rated.prefetch_related(Prefetch("utterances", replies))
        rows = Conversation.objects.prefetch_related(
            Prefetch("interactions", turns), "attributes", "feedback", "participant"
        ).in_bulk(wanted)
        return {pk: Said(row.participant, self.talk_row(row)) for pk, row in rows.items()}

    def talk_row(self, row: Conversation) -> dict[str, Any]:
        book = Codebook((version_of(self.study.instrument),), self.study.protocol)
        released = ReleasedConversation(row.pk, row.pk, len(row.interactions.all()), False)
        items = history(row, book.model_item)
        values = conversation_values(user_of(row.participant), released, row, items)
        return self.known(row.participant, tables.CONVERSATIONS, values)

    def known(self, person: Participant, table: Table, values: dict[str, Any]) -> dict[str, Any]:
        """In the codebook's order, without what is known at the end alone; what reviewers marked
        is covered."""
        row = {key: values[key] for key in table.key_order if key not in AT_THE_END}
        passages = self._hidden.get(person.pk)
        return cover(row, table.columns, passages) if passages else row


def user_of(person: Participant) -> ReleasedUser:
    return ReleasedUser(person.pk, person.pk, person.is_simulated)


def reply_row(row: Utterance) -> dict[str, Any]:
    turn = row.interaction
    item = reply_values(turn.turn, row)
    same = ("turn", "within_turn_id", "model_name", "model_provider", "score", "if_chosen")
    return {
        "utterance_id": f"ut{row.pk}",
        "interaction_id": f"int{turn.pk}",
        "conversation_id": f"c{turn.conversation_id}",
        "user_id": user_of(turn.conversation.participant).id,
        "conversation_type": turn.conversation.conversation_type,
        "user_prompt": shown_text(turn.user_prompt),
        "model_response": item["content"],
        **{name: item[name] for name in same},
    }


def lines(study: Study, found: list[tuple[str, Place]]) -> Iterator[str]:
    rows = Rows(study)
    for batch in batches(found, AT_ONCE):
        loaded = {
            kind: rows.of(kind, [place.pk for own, place in batch if own == kind])
            for kind in dict.fromkeys(kind for kind, _place in batch)
        }
        for kind, place in batch:
            yield line(envelope(kind, place, loaded[kind][place.pk]))


def envelope(kind: str, place: Place, said: Said) -> dict[str, Any]:
    return {
        "cursor": str(place),
        "kind": kind,
        "participant": said.participant.pk,
        "is_pilot": said.participant.is_pilot,
        "is_simulated": said.participant.is_simulated,
        "row": said.row,
    }


# The address


class LiveQuery(Strict):
    after = serializers.RegexField(
        rf"^{CURSOR.pattern}\Z", required=False, help_text="The cursor of the last line you have."
    )
    kinds = serializers.CharField(
        required=False,
        help_text=f"Of {', '.join(KINDS)}, with commas between them; left out: all.",
    )
    limit = serializers.IntegerField(min_value=1, max_value=MOST, default=USUAL)
    pilot = serializers.ChoiceField(
        ["with", "without"], default="without", help_text="Whether a pilot's people are in it."
    )

    def validate_after(self, value: str) -> Place:
        place = place_of(value)
        if place is None or place.at > LATEST:
            raise serializers.ValidationError("This is no cursor of this study's lines.")
        return place

    def validate_kinds(self, value: str) -> list[str]:
        kinds = value.split(",")
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise serializers.ValidationError(
                f"There is no kind “{unknown[0][:40]}”. Known: {', '.join(KINDS)}."
            )
        return kinds


class Live(ApiView):
    is_heavy = True
    http_method_names = ["get"]

    @described(
        "live",
        "What was completed, one JSON object per line",
        {(200, "application/x-ndjson"): OpenApiTypes.STR},
        tag=TAG,
        said="Surveys when they are finished, replies when their turn is rated, conversations when "
        "their feedback is given, each half a minute later; and `withdrawn`, with `row` null, for "
        "whoever asks to be left out: delete their lines. Ask again with `after` and the cursor of "
        "the last line; no lines means that nothing is new. `row` is the release's row, with the "
        "numbers that people and replies have at the desk.",
        query=LiveQuery,
    )
    def get(self, request: Any, slug: str) -> StreamingHttpResponse:
        study = study_for(request, slug, "export")
        query = checked(LiveQuery, request.query_params.dict())
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been sent
        number = write(study, query, file)
        if number:
            note(request, "exported", study, study, file="live", rows=number)
        return streamed(request._request, file, f"{study.slug}-live.jsonl", "application/x-ndjson")


def write(study: Study, query: dict[str, Any], file: IO[bytes]) -> int:
    """How many lines."""
    kinds, with_pilot = query.get("kinds", [*KINDS]), query["pilot"] == "with"
    number = 0
    with snapshot():
        found = places(study, kinds, query.get("after"), query["limit"], with_pilot)
        for text in lines(study, found):
            file.write(text.encode())
            number += 1
    return number
