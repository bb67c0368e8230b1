"""What a span is, whoever wrote it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Event", "Kind", "Span", "Status", "Value"]

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"


class Kind(enum.Enum):
    """What part of a call a span is; the numbers are OTLP's."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Status(enum.Enum):
    """How a span ended; the numbers are OTLP's."""

    UNSET = 0
    OK = 1
    ERROR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at one moment within a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One timed piece of work. Times are nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    service: str
    kind: Kind
    start_ns: int
    end_ns: int
    status: Status = Status.UNSET
    attributes: Mapping[str, Value] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    # The traces of other requests that this work was shared with.
    shared_with: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """The name without the package that its service says already; a call has an arrow."""
        name = self.name.rsplit(".", 1)[-1] if self.name.startswith("vedette.") else self.name
        return f"→ {name}" if self.kind is Kind.CLIENT else name

    @property
    def duration_ns(self) -> int:
        """How long it took; never negative, even if a clock was set back meanwhile."""
        return max(0, self.end_ns - self.start_ns)
