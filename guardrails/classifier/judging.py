"""Asks the model off the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from .manifest import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ClassifierJudge", "Scorer"]


class Scorer(Protocol):
    """Scores one stretch of text by head; takes milliseconds, so never on the event loop."""

    def scores(self, text: str) -> Mapping[str, float]:
        """Numbers from 0 to 1."""


class ClassifierJudge:
    """Scores stretches on a few threads, in the order asked.

    A caller has one stretch in the queue at a time, so a long document delays nobody by more
    than one stretch. A question whose asker gave up is not run.
    """

    def __init__(self, *, workers: int = 1) -> None:
        """Begin without a model: until `use`, every question fails."""
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="classifier")
        self._scorer: Scorer | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a model to ask."""
        return self._scorer is not None

    def use(self, scorer: Scorer) -> None:
        """From now on ask this one."""
        self._scorer = scorer

    async def judge(self, text: str) -> Mapping[str, float]:
        """Score one stretch.

        Raises:
            ModelError: without a model.
        """
        if self._scorer is None:
            raise ModelError("no model is loaded")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._scorer.scores, text)

    def close(self) -> None:
        """Take no more questions; does not wait for one that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
