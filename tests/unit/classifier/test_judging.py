from __future__ import annotations

import asyncio
import threading

import pytest

from guardrails.classifier import ClassifierJudge, ModelError


class Scripted:
    """Scores by length; can be held up."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.asked: list[str] = []

    def scores(self, text: str) -> dict[str, float]:
        self.free.wait(5)
        self.asked.append(text)
        if text == "crash":
            raise RuntimeError("the model broke")
        return {"direct": min(1.0, len(text) / 10)}


@pytest.fixture
def scorer():
    return Scripted()


@pytest.fixture
def judge(scorer):
    judge = ClassifierJudge()
    judge.use(scorer)
    yield judge
    scorer.free.set()
    judge.close()


async def test_scores_come_from_the_model(judge):
    """A question is answered by the model in use."""
    assert await judge.judge("four") == {"direct": 0.4}


async def test_without_a_model_every_question_fails():
    """Not loaded is not a pass."""
    with pytest.raises(ModelError):
        await ClassifierJudge().judge("anything")


async def test_crash_reaches_the_asker_and_nobody_else(judge):
    """One text that breaks the model spoils no other."""
    crash = asyncio.create_task(judge.judge("crash"))
    fine = asyncio.create_task(judge.judge("fine"))
    with pytest.raises(RuntimeError):
        await crash
    assert await fine == {"direct": 0.4}


async def test_question_whose_asker_gave_up_is_not_run(judge, scorer):
    """A caller that hangs up costs no model time."""
    scorer.free.clear()
    running = asyncio.create_task(judge.judge("running"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(judge.judge("waiting"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    scorer.free.set()
    await running
    await judge.judge("later")
    assert scorer.asked == ["running", "later"]


async def test_hanging_model_leaves_the_loop_free(judge, scorer):
    """The asker's timeout fires while the model hangs."""
    scorer.free.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await judge.judge("stuck")
