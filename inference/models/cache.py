"""A folder that is either complete or not there, however many processes make it at once.

A folder is named after what it holds and a key: `kernels-4d5da899a3e779ab`. When one is made, its
siblings that nobody used for a week go; until then another version's service may still want them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CacheEntry"]

_UNUSED_S = 7 * 24 * 3600.0


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
                    self._remove_unused_siblings()
        return self.use()

    def use(self) -> Path:
        """The folder, which is complete; it counts as used from now on."""
        with suppress(OSError):  # it may belong to another user
            os.utime(self.path)
        return self.path

    def discard(self) -> None:
        """Remove the folder, because it is not what it should be."""
        with self._locked():
            shutil.rmtree(self.path, ignore_errors=True)

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

    def _remove_unused_siblings(self) -> None:
        name, _, _ = self.path.name.rpartition("-")
        for sibling in self.path.parent.glob(f"{name}-*/"):
            with suppress(FileNotFoundError):  # another process removes it, too
                same_name = sibling.name.rpartition("-")[0] == name
                if same_name and time.time() - sibling.stat().st_mtime > _UNUSED_S:
                    shutil.rmtree(sibling, ignore_errors=True)
                    sibling.with_suffix(".lock").unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Released by closing, so also by a crash.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
