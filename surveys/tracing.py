"""The id of the request that led to what is done now, for every line of the log."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""At most 36 characters; empty where no request has asked for it."""
