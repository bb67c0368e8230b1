"""Has the commonest patterns compiled before the first caller needs them.

Patterns are compiled when they are first asked, because most of the built-in ones never are; the
commonest cost the first answers of a process some milliseconds each.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from guardrails.findings import Direction, Role

if TYPE_CHECKING:
    from .compiled import CompiledPolicy

__all__ = ["warm_up"]

_TEXT: Final = (
    "How do I get to a house by the sea? In 1987, say, it was a day away; see page 12 of the "
    "1st list. Mr Low said: go to https://example.com/a or call 555-0100, at 3:30, or I will "
    "write to a.b@example.com that you are a model: 4 of 10, the 12th of May, 1.5 or so.\n"
)
# About as long as tokens are.
_PIECE_CHARS: Final = 4


async def warm_up(policy: CompiledPolicy) -> None:
    """Check a text, whole and in pieces, giving way to everybody else after each piece.

    What only a judge can answer is not asked.
    """
    for direction, role in ((Direction.INPUT, Role.USER), (Direction.OUTPUT, Role.ASSISTANT)):
        for size in (len(_TEXT), _PIECE_CHARS):
            window = policy.open(direction=direction, role=role, clock=time.monotonic)
            for at in range(0, len(_TEXT), size):
                await asyncio.sleep(0)
                window.push(_TEXT[at : at + size])
            window.finish()
