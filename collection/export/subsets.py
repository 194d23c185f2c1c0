"""Which conversations and people belong to a subset of the release.

The balanced subset is drawn as PRISM drew its own: from each person with conversations of all
three types, equally many of each. PRISM used one seed for all; here each person's own stored seed
decides, so that more people in a later release change nobody's flags.

The census-representative samples (included_in_US_REP, included_in_UK_REP) are False throughout:
they need coded ethnicities and a census table of the researcher's.
"""

from collections.abc import Mapping, Sequence

from collection.export.tables import CONVERSATION_TYPES
from surveys.draws import rng

US_REPRESENTATIVE = False
UK_REPRESENTATIVE = False


def balanced(seed: int, conversations: Mapping[str, Sequence[int]]) -> set[int]:
    """The ids in one person's balanced subset; empty if a type is missing.

    conversations: type -> ids, in the order in which the conversations were finished.
    """
    smallest = min(len(conversations.get(kind, ())) for kind in CONVERSATION_TYPES)
    return {
        drawn
        for kind in CONVERSATION_TYPES
        for drawn in rng(seed, "balanced", kind).sample(conversations.get(kind, ()), smallest)
    }
