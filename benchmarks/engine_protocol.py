"""How the benchmark talks to an engine in a process of its own: one JSON line a task, one back.

This file imports nothing outside the standard library: it runs in every peer's environment.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Task", "Times", "serve"]

# For each stream, when each of its tokens was there, in seconds since the task began.
Times = list[list[float]]


@dataclass(frozen=True)
class Task:
    """Continue each prompt greedily by as many tokens, all of them at the same time."""

    prompts: list[list[int]]
    new_tokens: int


def serve(run: Callable[[Task], Times]) -> None:
    """Answer tasks until standard input ends."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        task = Task(**json.loads(line))
        times = run(task)
        assert [task.new_tokens] * len(task.prompts) == [len(stream) for stream in times]
        print(json.dumps({"times": times, **_memory()}), flush=True)


def _memory() -> dict[str, int]:
    """Resident memory now and at most so far, in MiB."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    kib = {words[0]: int(words[1]) for words in lines if words[0] in ("VmRSS:", "VmHWM:")}
    return {"resident_mib": kib["VmRSS:"] // 1024, "peak_mib": kib["VmHWM:"] // 1024}
