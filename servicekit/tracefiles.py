"""Span files that never outgrow their folder.

Each process writes files of its own, `<service>-<start>-<pid>-<n>.jsonl`, so that two processes
never mix their lines. A file that reaches its share of the limit is closed and the next begun;
the service's oldest files are deleted when all together pass the limit.
"""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TraceFiles"]

_FILES_PER_LIMIT = 8


class TraceFiles(io.TextIOBase):
    """A text stream, one JSON document a write, spread over files of bounded size.

    Raises:
        OSError: if the folder cannot be made or written.
    """

    def __init__(self, folder: Path, *, service: str, max_bytes: int) -> None:
        """Open the first file in `folder`, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._service = service
        self._max_bytes = max_bytes
        self._stem = f"{service}-{int(time.time())}-{os.getpid()}"
        self._count = 0
        self._file = self._next()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str, /) -> int:
        """Append one document, in a new file if this one is full."""
        if self._file.tell() >= self._max_bytes // _FILES_PER_LIMIT:
            self._file.close()
            self._file = self._next()
        return self._file.write(text)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        """Close the current file."""
        self._file.close()
        super().close()

    def _next(self) -> io.TextIOWrapper:
        self._delete_oldest()
        self._count += 1
        path = self._folder / f"{self._stem}-{self._count}.jsonl"
        return path.open("a", encoding="utf-8")

    def _delete_oldest(self) -> None:
        """Make room for one more file within the limit."""
        files = sorted(self._folder.glob(f"{self._service}-*.jsonl"), key=_modified)
        sizes = [_size(path) for path in files]
        room = self._max_bytes * (_FILES_PER_LIMIT - 1) // _FILES_PER_LIMIT
        while files and sum(sizes) > room:
            files.pop(0).unlink(missing_ok=True)
            sizes.pop(0)


def _modified(path: Path) -> float:
    # Another process may delete it between the listing and this look.
    return path.stat().st_mtime if path.exists() else 0.0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
