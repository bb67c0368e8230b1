"""Finds traces in the files that the services write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vedette.traces.otlp import spans_of_line
from vedette.traces.trace import Trace, group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vedette.traces.spans import Span

__all__ = ["AmbiguousIdError", "TraceFiles", "TraceNotFoundError"]


class TraceNotFoundError(LookupError):
    """No trace has this id, or none is there at all."""


class AmbiguousIdError(LookupError):
    """Several traces begin with this id.

    Attributes:
        matches: Their ids.

    """

    def __init__(self, prefix: str, matches: list[str]) -> None:
        super().__init__(f"{prefix} begins {len(matches)} trace ids")
        self.matches = matches


@dataclass(frozen=True, slots=True)
class TraceFiles:
    """The `*.jsonl` files of one folder; nothing is kept between questions."""

    folder: Path
    # How much of each service's files a look at the latest traces reads.
    recent_bytes: int = 16 * 1024 * 1024

    def recent(self) -> list[Trace]:
        """The traces at the end of the files, newest first.

        Reads a bounded amount of each service's files, so that a full folder does not make
        looking at the latest request slow; older traces are found by their id.
        """
        spans: list[Span] = []
        covered_from_ns = 0
        for path, skip_bytes in self._tails():
            found = list(_read(path, skip_bytes=skip_bytes))
            spans += found
            if skip_bytes and found:
                # Before this, spans of this service were not read: such a trace would seem to
                # lack a service.
                covered_from_ns = max(covered_from_ns, min(span.end_ns for span in found))
        return [trace for trace in group(spans) if trace.start_ns >= covered_from_ns]

    def last(self) -> Trace:
        """The trace that began last, but for questions about earlier requests.

        Raises:
            TraceNotFoundError: there is none.
        """
        traces = [trace for trace in self.recent() if not trace.looks_back]
        if not traces:
            raise TraceNotFoundError("there are no traces yet")
        return traces[0]

    def get(self, prefix: str) -> Trace:
        """The trace whose id begins so, wherever it is in the files.

        Raises:
            TraceNotFoundError: there is none.
            AmbiguousIdError: there are several.
        """
        prefix = prefix.lower()
        traces = group(
            span
            for path in self._files()
            for span in _read(path, containing=f'"{prefix}')
            if span.trace_id.startswith(prefix)
        )
        if not traces:
            raise TraceNotFoundError(f"no trace id begins with {prefix}")
        if len(traces) > 1:
            raise AmbiguousIdError(prefix, [trace.trace_id for trace in traces])
        return traces[0]

    def _files(self) -> list[Path]:
        """All files, the one written last first."""
        return [
            path for path, _, _ in sorted(self._stats(), key=lambda stat: stat[1], reverse=True)
        ]

    def _tails(self) -> Iterator[tuple[Path, int]]:
        """The files that hold what was written last, with how much of each to skip."""
        room = dict.fromkeys((_service(path) for path in self._files()), self.recent_bytes)
        for path, _, size in sorted(self._stats(), key=lambda stat: stat[1], reverse=True):
            service = _service(path)
            if room[service] > 0:
                yield path, max(0, size - room[service])
                room[service] -= size

    def _stats(self) -> Iterator[tuple[Path, float, int]]:
        for path in self.folder.glob("*.jsonl"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # rotated away meanwhile
                continue
            yield path, stat.st_mtime, stat.st_size


def _service(path: Path) -> str:
    return path.name.split("-")[0]


def _read(path: Path, *, skip_bytes: int = 0, containing: str = "") -> Iterator[Span]:
    """The spans of one file; lines without the given text are not even parsed."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    needle = containing.encode()
    with file:
        if skip_bytes:
            file.seek(skip_bytes)
            file.readline()
        for line in file:
            if needle in line:
                yield from spans_of_line(line.decode(errors="replace"))
