"""What a release that was loaded holds, under the ids and in the order that it came with."""

from collections import Counter

from collection.export.selection import ReleasedConversation, ReleasedUser, Selection
from collection.models import ImportedConversation, ImportedPerson, ImportedRelease


def select_imported(release: ImportedRelease) -> Selection:
    people = ImportedPerson.objects.filter(participant__study=release.study).order_by("number")
    users = {
        pk: ReleasedUser(pk, number, is_simulated)
        for pk, number, is_simulated in people.values_list(
            "participant", "number", "participant__is_simulated"
        )
    }
    selection = Selection(
        list(users.values()),
        Counter(),
        Counter(),
        in_file_order=[],
        utterances=[],
        providers=release.providers,
    )
    talks = ImportedConversation.objects.filter(conversation__participant__study=release.study)
    rows = talks.order_by("place").values_list(
        *("conversation", "conversation__participant", "number", "first_interaction"),
        *("utterances", "kept"),
    )
    for pk, participant, number, first_interaction, utterances, kept in rows.iterator():
        released = ReleasedConversation(
            pk,
            number,
            kept["conversation_turns"],
            kept["included_in_balanced_subset"],
            first_interaction,
            kept,
        )
        _add(selection, users[participant], released)
        assert selection.utterances is not None
        selection.utterances += utterances
    return selection


def _add(selection: Selection, user: ReleasedUser, conversation: ReleasedConversation) -> None:
    assert selection.in_file_order is not None
    user.conversations.append(conversation)
    selection.in_file_order.append((user, conversation))
