"""A folder that is either complete or not there, however many processes make it at once."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CacheEntry"]


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One folder of the cache."""

    path: Path

    @property
    def is_complete(self) -> bool:
        """Whether it can be used."""
        return self.path.is_dir()

    def obtain(self, make: Callable[[Path], None]) -> Path:
        """The folder; `make` fills it if it is not there. Other processes wait meanwhile."""
        if not self.is_complete:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if not self.is_complete:
                    self._make(make)
        return self.path

    def _make(self, make: Callable[[Path], None]) -> None:
        for leftover in self.path.parent.glob(f".{self.path.name}-*"):
            # Of a process that was killed: no other can be at work while we hold the lock.
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}-"))
        try:
            make(unfinished)
            unfinished.chmod(0o755)
            unfinished.rename(self.path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Released by closing, so also by a crash.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
