"""Telling a person how far a long step is, and nobody else.

On a terminal there is a moving bar; elsewhere one plain line when a step begins and one when it
ended, so that logs stay readable.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["step"]


@contextmanager
def step(
    title: str,
    *,
    total_bytes: int | None = None,
    done_bytes: Callable[[], int] | None = None,
    stream: TextIO | None = None,
) -> Iterator[Callable[[], None]]:
    """Show a step that takes seconds.

    Yields:
        A function to call now and then, to move the bar.

    Args:
        title: what is being done.
        total_bytes: how much there is to do, if it is known.
        done_bytes: how much is done.
        stream: where to; standard error by default.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        started_s = time.monotonic()
        print(f"{title} …", file=stream, flush=True)
        yield lambda: None
        print(f"{title}: done in {time.monotonic() - started_s:.1f} s", file=stream, flush=True)
        return
    columns = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
    if total_bytes is not None:
        columns.insert(2, DownloadColumn())
    with Progress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task(title, total=total_bytes)
        yield lambda: bar.update(task, completed=done_bytes() if done_bytes else None)
        if total_bytes is not None:
            bar.update(task, completed=total_bytes)
