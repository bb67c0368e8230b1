"""How the benchmark talks to an engine in a process of its own: one JSON line a task, one back.

This file imports nothing outside the standard library: it runs in every peer's environment.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Task:
    """Continue each prompt greedily by as many tokens, all of them at the same time."""

    prompts: list[list[int]]
    new_tokens: int


def serve(run: Callable[[Task], float]) -> None:
    """Answer tasks with seconds until standard input ends."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        seconds = run(Task(**json.loads(line)))
        resident_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "resident_mib": resident_kib // 1024}), flush=True)
