"""The latest traces, kept up to date while they are being written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from vedette.traces.growing import GrowingFiles
from vedette.traces.trace import Trace, group

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.traces.spans import Span

__all__ = ["LiveTraces"]

_BACKLOG_BYTES: Final = 8 * 1024 * 1024


class LiveTraces:
    """The traces of a folder, a bounded number of them; safe to ask from several threads."""

    def __init__(self, folder: Path, *, kept: int = 1000) -> None:
        """Begin with the end of what is there; keep at most `kept` traces."""
        self._kept = kept
        self._files = GrowingFiles(folder, backlog_bytes=_BACKLOG_BYTES)
        self._lock = threading.Lock()
        self._spans: OrderedDict[str, list[Span]] = OrderedDict()
        self._traces: dict[str, Trace] = {}

    def latest(self) -> list[Trace]:
        """Read what is new; returns the traces, the one that began last first."""
        with self._lock:
            changed = set()
            for span in self._files.read():
                self._spans.setdefault(span.trace_id, []).append(span)
                changed.add(span.trace_id)
            for trace_id in changed:
                self._traces[trace_id] = group(self._spans[trace_id])[0]
            while len(self._spans) > self._kept:
                oldest, _ = self._spans.popitem(last=False)
                del self._traces[oldest]
            return sorted(self._traces.values(), key=lambda trace: trace.start_ns, reverse=True)
