"""Traces: read from files, made whole, explained. Pure functions on frozen data; nothing draws."""

from __future__ import annotations

from vedette.traces.store import AmbiguousIdError, TraceFiles, TraceNotFoundError
from vedette.traces.trace import HOPS, Trace, group

__all__ = ["HOPS", "AmbiguousIdError", "Trace", "TraceFiles", "TraceNotFoundError", "group"]
