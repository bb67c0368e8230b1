"""JSON log lines, each with the trace id of the call that it belongs to, and never any content.

An exception is logged as its type and the places it passed through. Its text is left out,
because the text of an exception may quote a prompt.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Final

import structlog
from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict, WrappedLogger

__all__ = ["DEBUGGED", "DEBUG_KEY", "bind", "bound", "configure", "debug", "get", "where"]

# The metadata by which a caller asks for the details of its request, and whether one did.
DEBUG_KEY = "log-details"
DEBUGGED: ContextVar[bool] = ContextVar("vedette_debugged", default=False)

# The library has a variable of its own for each fact; one for all takes a tenth of the time.
_BOUND: Final[ContextVar[Mapping[str, Any]]] = ContextVar(
    "vedette_bound", default=MappingProxyType({})
)


def bind(**facts: Any) -> None:
    """Give the lines of the current call more to say."""
    _BOUND.set({**_BOUND.get(), **facts})


def configure(*, service: str, level: str) -> None:
    """Send all log lines of this process, ours and the libraries', to standard error as JSON."""
    shared: list[Any] = [bound, _Placed(service), _drop_exception_text]
    lines = _Lines(sys.stderr)
    # Our own lines go straight to the stream: the detour over the library's records takes as long
    # again as making the line.
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("vedette").setLevel(_LEVELS[level])


def get() -> structlog.stdlib.BoundLogger:
    """The logger of this process."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("vedette")
    return logger


def debug(event: str, **facts: str | float) -> None:
    """A line with details, for a call that asked for them; for others this does nothing."""
    if DEBUGGED.get():
        get().info(event, **facts)


def where(error: BaseException) -> list[str]:
    """The places that an exception passed through, innermost last, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno}:{frame.name}" for frame in frames]


_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Lines:
    """Writes lines to a stream. One that cannot be written is lost, and no call with it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        with suppress(OSError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = write


def bound(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add what was bound; what the line says itself counts more."""
    return {**_BOUND.get(), **event}


class _Placed:
    """Adds which service says it, how severe it is, when, and during which span."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["level"] = "error" if method == "exception" else method
        event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        event["service"] = self._service
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            event["trace_id"] = trace.format_trace_id(context.trace_id)
            event["span_id"] = trace.format_span_id(context.span_id)
        return event


def _drop_exception_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error_type"] = type(error).__name__
        event["error_at"] = where(error)
    return event
