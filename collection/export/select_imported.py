"""What a release that was loaded holds, under the ids and in the order that it came with."""

from collections import Counter, defaultdict

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
    theirs: dict[int, list[ReleasedConversation]] = defaultdict(list)
    in_file_order: list[tuple[ReleasedUser, ReleasedConversation]] = []
    numbers: list[int] = []
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
            kept=kept,
        )
        theirs[participant].append(released)
        in_file_order.append((users[participant], released))
        numbers += utterances
    for participant, conversations in theirs.items():
        users[participant].conversations = conversations
    return Selection(
        list(users.values()),
        Counter(),
        Counter(),
        in_file_order=in_file_order,
        utterances=numbers,
        providers=release.providers,
    )
