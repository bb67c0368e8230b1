"""Says in the log why a detector failed: which one, by what kind of error and where.

Never with the error's text, which may quote what was scanned; and once a minute for each kind, so
that a broken detector does not fill the log.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from servicekit import logs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FailureLog", "report"]

_EVERY_S: Final = 60.0


class FailureLog:
    """Remembers what it said lately."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing was said yet."""
        self._clock = clock
        self._said_s: dict[tuple[str, str], float] = {}

    def report(self, detector: str, error: Exception) -> None:
        """Log the failure, unless this detector failed in the same way a moment ago."""
        kind, now_s = type(error).__name__, self._clock()
        said_s = self._said_s.get((detector, kind))
        if said_s is None or now_s - said_s >= _EVERY_S:
            self._said_s[detector, kind] = now_s
            logs.get().error(
                "detector.failed", detector=detector, error=kind, where=logs.where(error)
            )


# Of this process; detectors fail in lanes and judges, which know nothing of each other.
report: Final = FailureLog().report
