"""What a detector may answer."""

from typing import Any

Result = dict[str, Any] | None
"""JSON with codes, numbers and places in the text, never its words: it may be read by everybody who
reads the release. None: there was nothing to judge."""


class Unavailable(Exception):
    """It can't be done now. The message is for researchers; `again_in_s`: when to try again, if
    that is known. is_final: only somebody who changes something can help."""

    def __init__(
        self, message: str, again_in_s: float | None = None, *, is_final: bool = False
    ) -> None:
        super().__init__(message)
        self.again_in_s = again_in_s
        self.is_final = is_final


class Refused(Exception):
    """These texts won't be judged, however often they are sent. The message is for researchers."""
