"""Hyperscan databases, compiled once on a machine and loaded from its cache afterwards.

Compiling the built-in rules takes seconds, loading them milliseconds. A file is named by the
digest of all that goes into it and begins with the digest of what it holds; whatever is wrong
with it, the database is compiled again. Files that no process has used for a month are removed
when another is written.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import hyperscan

from vedette import home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["database"]

_DIGEST_BYTES: Final = 32
_KEPT_S: Final = 30 * 86_400


def database(expressions: Mapping[int, bytes], *, flags: int) -> hyperscan.Database:
    """The database of these expressions by their numbers.

    Raises:
        HyperscanError: if one of them is refused.
    """
    path = home.rules_dir() / f"{_key(expressions, flags)}.hs"
    known = _loaded(path)
    if known is not None:
        return known
    compiled = hyperscan.Database()
    compiled.compile(
        expressions=list(expressions.values()),
        ids=list(expressions),
        elements=len(expressions),
        flags=[flags] * len(expressions),
    )
    with suppress(OSError):
        _save(path, hyperscan.dumpb(compiled))
        _forget_unused(path.parent, time.time() - _KEPT_S)
    return compiled


def _key(expressions: Mapping[int, bytes], flags: int) -> str:
    content = repr((version("hyperscan"), flags, sorted(expressions.items())))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _loaded(path: Path) -> hyperscan.Database | None:
    try:
        content = path.read_bytes()
        with suppress(OSError):  # a cache that others have filled may be read-only
            os.utime(path)
    except OSError:
        return None
    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    try:
        loaded = hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
        loaded.scratch = hyperscan.Scratch(loaded)
    except hyperscan.HyperscanError:  # of another version, or for another processor
        return None
    return loaded


def _forget_unused(folder: Path, since_s: float) -> None:
    """Remove what was last used before then; the time of a file is that of its last use."""
    for path in folder.glob("*.hs"):
        with suppress(OSError):
            if path.stat().st_mtime < since_s:
                path.unlink()


def _save(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(hashlib.sha256(body).digest() + body)
    partial.replace(path)
