"""Who makes which file of a release, straight from the database."""

from collections import ChainMap
from collections.abc import Callable, Iterator
from typing import Any

from collection.export import further_tables as further
from collection.export import imported, rows
from collection.export.call_rows import call_rows
from collection.export.person_rows import consent_rows, quality_rows
from collection.export.plan import Plan
from collection.export.rating_rows import rating_rows

MAKERS: ChainMap[str, Callable[[Plan], Iterator[dict[str, Any]]]] = ChainMap(
    rows.MAKERS,
    {
        name: imported.unless_kept(name, maker)
        for name, maker in (
            (further.CALLS, call_rows),
            (further.RATINGS, rating_rows),
            (further.CONSENTS, consent_rows),
            (further.QUALITY, quality_rows),
        )
    },
)
"""`derived.MAKERS` has those that are made from these files."""
