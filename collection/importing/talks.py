"""The conversations of a release: turns, replies, scores, attributes and feedback."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from django.db.models import OuterRef, Subquery

from collection.export import tables
from collection.export.plan import batches
from collection.importing.folder import Folder, number_of
from collection.importing.people import earlier, moment
from collection.importing.repairs import Repairs
from collection.models import (
    IMPORTED_DRAW,
    Attempt,
    AttributeRating,
    Conversation,
    Feedback,
    ImportedConversation,
    Interaction,
    ModelCall,
    Utterance,
)
from surveys.models import Study

Row = dict[str, Any]
CONVERSATIONS_AT_ONCE = 100
KEPT = (
    *("conversation_turns", "generated_datetime", "timing_duration_s", "timing_duration_mins"),
    *("open_feedback", "included_in_balanced_subset"),
)
"""Columns that export would make anew, and another way: rounded, stripped, drawn."""
ATTRIBUTES = {
    AttributeRating.Kind.PERFORMANCE: tables.PERFORMANCE,
    AttributeRating.Kind.CHOICE: tables.CHOICE,
}


@dataclass
class Talk:
    """A row of conversations.jsonl and those of its replies, in the order of the history."""

    place: int
    row: Row
    replies: list[Row]

    @property
    def turns(self) -> Iterator[tuple[str, list[tuple[Row, Row]]]]:
        """(prompt, [(item of the history, row of utterances.jsonl)]) of each turn."""
        items = [item for item in self.row["conversation_history"] if item["role"] == "model"]
        prompts = [item for item in self.row["conversation_history"] if item["role"] == "user"]
        both = zip(items, self.replies, strict=True)
        for turn, some in groupby(both, key=lambda pair: int(pair[0]["turn"])):
            yield prompts[turn]["content"], list(some)


def load(
    folder: Folder,
    study: Study,
    people: Mapping[str, int],
    endpoints: Mapping[str, int],
    repairs: Repairs,
) -> None:
    """people: user_id -> key; endpoints: model_name -> key."""
    numbers: Counter[str] = Counter()
    for batch in batches(talks(folder, repairs), CONVERSATIONS_AT_ONCE):
        rows = []
        for talk in batch:
            numbers[talk.row["user_id"]] += 1
            rows.append(conversation(talk, people, endpoints, numbers[talk.row["user_id"]]))
        made = Conversation.objects.bulk_create(rows)
        add_beside(batch, made)
        add_turns(batch, made, endpoints)
    set_times(study)


def talks(folder: Folder, repairs: Repairs) -> Iterator[Talk]:
    """The two files go side by side: their rows stand in the same order, as the check has seen."""
    utterances = folder.rows("utterances", repairs)
    for place, row in enumerate(folder.rows("conversations", repairs)):
        size = sum(item["role"] == "model" for item in row["conversation_history"])
        yield Talk(place, row, list(islice(utterances, size)))


def conversation(
    talk: Talk, people: Mapping[str, int], endpoints: Mapping[str, int], number: int
) -> Conversation:
    row = talk.row
    finished_at = moment(row["generated_datetime"])
    chosen = next(
        item["model_name"]
        for item in row["conversation_history"]
        if item["role"] == "model" and item["if_chosen"]
    )
    return Conversation(
        participant_id=people[row["user_id"]],
        number=number,
        conversation_type=row["conversation_type"],
        state=Conversation.State.COMPLETE,
        endpoint_id=endpoints[chosen],
        started_at=earlier(finished_at, row["timing_duration_s"]),
        finished_at=finished_at,
        closed_at=finished_at,
    )


def add_beside(batch: list[Talk], made: list[Conversation]) -> None:
    together = list(zip(batch, made, strict=True))
    ImportedConversation.objects.bulk_create(imported(talk, one) for talk, one in together)
    Feedback.objects.bulk_create(
        Feedback(conversation=one, open_feedback=talk.row["open_feedback"])
        for talk, one in together
    )
    AttributeRating.objects.bulk_create(
        AttributeRating(
            conversation=one,
            kind=kind,
            attribute=attribute,
            position=position,
            value=value,
        )
        for talk, one in together
        for kind, column in ATTRIBUTES.items()
        for position, (attribute, value) in enumerate(talk.row[column.key].items())
    )


def imported(talk: Talk, one: Conversation) -> ImportedConversation:
    return ImportedConversation(
        conversation=one,
        place=talk.place,
        number=number_of("c", talk.row["conversation_id"]),
        first_interaction=number_of("int", talk.replies[0]["interaction_id"]),
        utterances=[number_of("ut", reply["utterance_id"]) for reply in talk.replies],
        kept={key: talk.row[key] for key in KEPT},
    )


def add_turns(batch: list[Talk], made: list[Conversation], endpoints: Mapping[str, int]) -> None:
    """Each reply with a call and a draw of which nothing is known but that they were."""
    turns = [
        (one, turn, prompt, [item for item, _reply in pairs])
        for talk, one in zip(batch, made, strict=True)
        for turn, (prompt, pairs) in enumerate(talk.turns)
    ]
    interactions = Interaction.objects.bulk_create(
        Interaction(
            conversation=one,
            turn=turn,
            user_prompt=prompt,
            state=Interaction.State.RATED,
            rated_at=one.finished_at,
        )
        for one, turn, prompt, _items in turns
    )
    attempts = Attempt.objects.bulk_create(
        Attempt(
            interaction=interaction,
            number=0,
            eligible=[],
            drawn=[],
            strategy=IMPORTED_DRAW,
            started_at=one.started_at,
            deadline=one.started_at,
            settled_at=one.finished_at,
        )
        for interaction, (one, *_rest) in zip(interactions, turns, strict=True)
    )
    replies = [
        (interaction, attempt, item, items)
        for interaction, attempt, (*_rest, items) in zip(interactions, attempts, turns, strict=True)
        for item in items
    ]
    calls = ModelCall.objects.bulk_create(
        ModelCall(
            attempt=attempt,
            slot=item["within_turn_id"],
            endpoint_id=endpoints[item["model_name"]],
            messages=[],
            parameters={},
            outcome=ModelCall.Outcome.OK,
        )
        for _interaction, attempt, item, _items in replies
    )
    Utterance.objects.bulk_create(
        Utterance(
            interaction=interaction,
            call=call,
            endpoint_id=endpoints[item["model_name"]],
            within_turn_id=item["within_turn_id"],
            position=item["within_turn_id"],
            model_response=item["content"],
            score=item["score"],
            if_chosen=item["if_chosen"],
            was_tied=is_tied(item["score"], items),
        )
        for call, (interaction, _attempt, item, items) in zip(calls, replies, strict=True)
    )


def is_tied(score: int, items: list[Row]) -> bool:
    scores = [item["score"] for item in items]
    return score == max(scores) and scores.count(score) > 1


def set_times(study: Study) -> None:
    """Of columns that Django fills with the time of the import."""
    interactions = Interaction.objects.filter(conversation__participant__study=study)
    began = Conversation.objects.filter(pk=OuterRef("conversation")).values("started_at")
    interactions.update(created_at=Subquery(began[:1]))
    feedback = Feedback.objects.filter(conversation__participant__study=study)
    ended = Conversation.objects.filter(pk=OuterRef("conversation")).values("finished_at")
    feedback.update(created_at=Subquery(ended[:1]))
