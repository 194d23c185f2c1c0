"""What can go wrong in words a participant can use. Rendered once, by `config.errors`."""


class DomainError(Exception):
    """A rule of the study said no.

    code: stable name for tests and the API; message: one kind sentence for the page.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class FieldErrors(DomainError):
    """Some fields need another look. `errors` maps a field's name to its message."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("fields", next(iter(errors.values())))
        self.errors = errors
