"""Ended spans on their way to an exporter: some at a time, from a thread of their own.

The SDK's processor asks the system for the process id at each span, in case it was forked; this
appends to a queue and nothing else. The exporters are the SDK's, or ours for files.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import SpanProcessor

from servicekit import logs

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Batches"]

_BATCH: Final = 512
# Spans that may wait for a slow exporter; beyond it the newest are lost.
_QUEUE: Final = 4096
_SHUTDOWN_S: Final = 30.0


class Batches(SpanProcessor):
    """Exports what has ended, this often; it takes spans from any thread."""

    def __init__(self, exporter: SpanExporter, *, every_s: float) -> None:
        """Start the thread."""
        self._exporter = exporter
        self._every_s = every_s
        self._waiting: deque[ReadableSpan] = deque()
        self._lost = 0
        self._exporting = threading.Lock()
        self._ending = threading.Event()
        self._log = logs.get()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing yet."""

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it until the next batch leaves; whoever records made sure that it is sampled."""
        if len(self._waiting) < _QUEUE:
            self._waiting.append(span)
        else:
            self._lost += 1

    def shutdown(self) -> None:
        """Export what is left; blocks until it is exported or given up."""
        self._ending.set()
        self._thread.join(_SHUTDOWN_S)
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  # exporters have their own
        """Export what waits now."""
        self._export()
        return True

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            self._export()
        self._export()

    def _export(self) -> None:
        with self._exporting:
            while self._waiting:
                count = min(_BATCH, len(self._waiting))
                self._hand_over([self._waiting.popleft() for _ in range(count)])
            lost, self._lost = self._lost, 0
            if lost:
                self._log.warning("spans.dropped", count=lost, error_type="QueueFull")

    def _hand_over(self, spans: list[ReadableSpan]) -> None:
        try:
            self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001  # telemetry must not end the thread
            self._log.warning("spans.dropped", count=len(spans), error_type=type(error).__name__)
