"""Files that are being written, read a little at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vedette.traces.otlp import spans_of_line

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.traces.spans import Span

__all__ = ["GrowingFiles"]


class GrowingFiles:
    """The span files of a folder; each look returns what was added since the one before.

    Of files that are there at the beginning, only the last `backlog_bytes` are read.
    """

    def __init__(self, folder: Path, *, backlog_bytes: int = 0) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}
        for path in folder.glob("*.jsonl"):
            self._offsets[path] = _line_start(path, path.stat().st_size - backlog_bytes)

    def read(self) -> list[Span]:
        """The spans of the whole lines that were added."""
        paths = sorted(self._folder.glob("*.jsonl"))
        return [span for path in paths for span in self._new_spans(path)]

    def _new_spans(self, path: Path) -> list[Span]:
        offset = self._offsets.get(path, 0)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:  # rotated away
            return []
        whole, newline, _ = data.rpartition(b"\n")
        self._offsets[path] = offset + len(whole) + len(newline)
        lines = whole.decode(errors="replace").split("\n")
        return [span for line in lines for span in spans_of_line(line)]


def _line_start(path: Path, offset: int) -> int:
    """The first beginning of a line at or after an offset."""
    if offset <= 0:
        return 0
    with path.open("rb") as file:
        file.seek(offset - 1)
        file.readline()
        return file.tell()
