"""Which traces are worth a look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from vedette.traces import names

if TYPE_CHECKING:
    from vedette.traces.trace import Trace

__all__ = ["Filter", "since_ns"]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions that a trace has to meet, all of them; none set, every trace does."""

    slow_ns: int = 0
    errors: bool = False
    blocked: bool = False
    tenant: str = ""
    since_ns: int = 0

    def matches(self, trace: Trace) -> bool:
        """Whether a trace meets them all."""
        return (
            trace.duration_ns >= self.slow_ns
            and trace.start_ns >= self.since_ns
            and (not self.errors or trace.has_error)
            and (not self.blocked or trace.outcome == "blocked")
            and (not self.tenant or self.tenant in _tenants(trace))
        )


def since_ns(words: str, *, now: datetime) -> int:
    """The moment that words such as `10m`, `2h` or `2026-11-21T07:00` mean.

    Raises:
        ValueError: they mean none.
    """
    match = re.fullmatch(r"(\d+)([smhd])", words)
    if match:
        ago = timedelta(**{_UNITS[match[2]]: int(match[1])})
        return int((now - ago).timestamp() * 1e9)
    moment = datetime.fromisoformat(words)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=now.tzinfo or UTC)
    return int(moment.timestamp() * 1e9)


def _tenants(trace: Trace) -> set[str]:
    return {str(span.attributes.get(names.TENANT, "")) for span in trace.spans}
