"""A deadline is a value and travels: each hop gets what is left, less a margin."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Deadline"]


class _TimedContext(Protocol):
    def time_remaining(self) -> float | None: ...


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A point on the monotonic clock, in seconds."""

    at_s: float

    @classmethod
    def after(cls, timeout_s: float, *, now: Callable[[], float] = time.monotonic) -> Deadline:
        """The deadline `timeout_s` seconds from now."""
        return cls(now() + timeout_s)

    @classmethod
    def of(cls, context: _TimedContext, *, default_s: float) -> Deadline:
        """The caller's deadline, or `default_s` seconds from now where the caller set none."""
        remaining_s = context.time_remaining()
        return cls.after(default_s if remaining_s is None else min(remaining_s, _LONGEST_S))

    def remaining_s(self, *, margin_s: float = 0.0) -> float:
        """Seconds left before the deadline and a margin; never negative."""
        return max(0.0, self.at_s - margin_s - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining_s() == 0.0


# grpc reports an absent deadline of some peers as hundreds of years; arithmetic needs a bound.
_LONGEST_S = 24 * 3600.0
