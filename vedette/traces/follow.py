"""Traces as they are being written."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from vedette.traces.growing import GrowingFiles
from vedette.traces.trace import HOPS, Trace, group

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.traces.spans import Span

__all__ = ["Follower"]

# The services write every fifth of a second; a trace waits this long for the slowest of them.
_SETTLE_S: Final = 0.6
# A trace whose root never comes, as when the gateway was killed, is shown after this.
_GIVE_UP_S: Final = 30.0
# A span that comes too late must not show its trace a second time.
_REMEMBERED: Final = 1000


class Follower:
    """Reads what is appended to the files of a folder, and hands out traces once they are whole.

    What was there before the first look is passed over.
    """

    def __init__(self, folder: Path) -> None:
        self._files = GrowingFiles(folder)
        self._spans: dict[str, list[Span]] = {}
        self._due_s: dict[str, float] = {}
        self._done: deque[str] = deque(maxlen=_REMEMBERED)

    def poll(self, now_s: float) -> list[Trace]:
        """Read what is new; returns the traces that are complete by now, the earliest first."""
        for span in self._files.read():
            self._add(span, now_s)
        due = [trace_id for trace_id, due_s in self._due_s.items() if due_s <= now_s]
        ready = [span for trace_id in due for span in self._take(trace_id)]
        return list(reversed(group(ready)))

    def _add(self, span: Span, now_s: float) -> None:
        if span.trace_id in self._done:
            return
        self._spans.setdefault(span.trace_id, []).append(span)
        ends_trace = span.service == HOPS[0] and span.name.startswith("vedette.gateway.")
        due_s = now_s + (_SETTLE_S if ends_trace else _GIVE_UP_S)
        self._due_s[span.trace_id] = min(due_s, self._due_s.get(span.trace_id, due_s))

    def _take(self, trace_id: str) -> list[Span]:
        del self._due_s[trace_id]
        self._done.append(trace_id)
        return self._spans.pop(trace_id)
