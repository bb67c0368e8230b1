"""News on their way from the engine to its callers: fewer and larger ones under load.

What a message costs, on this side and on every hop that it takes, does not depend on how many
tokens it carries. With many streams the messages of single tokens would take the processor from
the model that makes them, so a rate of messages is shared by the streams: with few of them each
token travels at once, with more, several travel together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.request import Output

__all__ = ["Outbox"]


class Outbox:
    """Merges news by request until they are due. The first and the last of a request are at once.

    Times are in seconds on one clock that the caller reads.
    """

    def __init__(self, *, messages_per_s: float) -> None:
        """Let about so many messages a second go out, besides first and last ones."""
        self._messages_per_s = messages_per_s
        self._held: dict[int, Output] = {}
        self._went_out_s = float("-inf")

    def put(self, outputs: list[Output]) -> None:
        """Take in the news of a step."""
        for output in outputs:
            held = self._held.get(output.request_id)
            self._held[output.request_id] = output if held is None else held.merged(output)

    def take(self, now_s: float) -> list[Output]:
        """What is due."""
        if now_s - self._went_out_s >= len(self._held) / self._messages_per_s:
            self._went_out_s = now_s
            return self.take_all()
        due = [output for output in self._held.values() if output.timings is not None]
        for output in due:
            del self._held[output.request_id]
        return due

    def take_all(self) -> list[Output]:
        """Everything, because no more may come for a while."""
        held, self._held = self._held, {}
        return list(held.values())
