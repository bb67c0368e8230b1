"""A judge is asked about a stretch once for each tenant, as long as there is room to remember."""

from __future__ import annotations

import gc
import weakref

import pytest

from guardrails.classifier import classifier
from guardrails.detectors import builtin
from guardrails.findings import Action, Direction, Role
from guardrails.pipeline.checking import Checker, Text
from guardrails.pipeline.recollection import Recollection
from guardrails.policy import PolicyStore
from guardrails.window.surroundings import Surroundings


class Judge:
    """Scores a text by its length, and notes what it was asked."""

    def __init__(self):
        self.asked = []
        self.broken = False

    async def judge(self, text):
        self.asked.append(text)
        if self.broken:
            raise RuntimeError("the model broke")
        return {"direct": len(text) / 100}


@pytest.fixture
def judge():
    return Judge()


async def test_a_stretch_is_judged_once(judge):
    """The second answer is the first one."""
    recollection = Recollection(9)
    first = await recollection.scores(judge, "Good morning.", tenant="a")
    assert first == await recollection.scores(judge, "Good morning.", tenant="a")
    assert ["Good morning."] == judge.asked


async def test_tenants_do_not_share_what_was_judged(judge):
    """How fast an answer comes tells nobody what others asked."""
    recollection = Recollection(9)
    for tenant in ("a", "b", "a", "b"):
        await recollection.scores(judge, "Good morning.", tenant=tenant)
    assert ["Good morning.", "Good morning."] == judge.asked


async def test_judges_do_not_share_what_they_said(judge):
    """Two models score the same stretch each in its way."""
    recollection, other = Recollection(9), Judge()
    for each in (judge, other):
        await recollection.scores(each, "Good morning.", tenant="a")
    assert ["Good morning."] == judge.asked == other.asked


async def test_a_judge_that_failed_is_asked_again(judge):
    """Nothing is remembered of a failure."""
    recollection, judge.broken = Recollection(9), True
    with pytest.raises(RuntimeError):
        await recollection.scores(judge, "Good morning.", tenant="a")
    judge.broken = False
    assert {"direct": 0.13} == await recollection.scores(judge, "Good morning.", tenant="a")


async def test_what_was_least_used_is_forgotten_first(judge):
    """What every turn of a conversation repeats stays."""
    recollection = Recollection(2)
    for text in ("system", "one", "system", "two", "system", "one"):
        await recollection.scores(judge, text, tenant="a")
    assert ["system", "one", "two", "one"] == judge.asked


async def test_what_a_judge_said_goes_with_the_judge():
    """A policy that names another model leaves nothing of the old one in memory."""
    recollection, judge = Recollection(9), Judge()
    await recollection.scores(judge, "Good morning.", tenant="a")
    gone = weakref.ref(judge)
    del judge
    gc.collect()
    assert None is gone()


class Conversation:
    """A guardrails over the judge, which every text is put to whole."""

    def __init__(self, folder, judge):
        (folder / "mine.yaml").write_text(
            "version: 1\ninput: {detectors: {attacks: {action: block}, planted: {action: block}}}\n"
            "output: {detectors: {}}\n"
        )
        judged = classifier().detectors
        known = {detector.name: detector for detector in (*builtin(), *judged)}
        self._policy = PolicyStore(folder=folder, default_name="mine", detectors=known).get("mine")
        self._checker = Checker(judges={each.name: judge for each in judged})

    async def turn(self, *texts, tenant):
        """Check all messages of a turn; what became of each."""
        return [
            (
                await self._checker.check(
                    self._policy,
                    Text(role=Role.USER, text=text),
                    direction=Direction.INPUT,
                    surroundings=Surroundings(tenant=tenant),
                )
            ).action
            for text in texts
        ]


class Scoring(Judge):
    """Finds an attack in one text."""

    async def judge(self, text):
        await super().judge(text)
        return {"direct": float(text == "attack"), "planted": 0.0}


async def test_a_turn_asks_only_about_what_is_new_in_the_conversation(tmp_path):
    """Two detectors of one judge ask once, an old attack blocks again, others begin anew."""
    judge = Scoring()
    conversation = Conversation(tmp_path, judge)
    await conversation.turn("hello", tenant="a")
    turn = await conversation.turn("hello", "attack", "hello", "attack", tenant="a")
    assert [Action.ALLOW, Action.BLOCK] * 2 == turn
    assert ["hello", "attack"] == judge.asked
    await conversation.turn("hello", tenant="b")
    assert ["hello", "attack", "hello"] == judge.asked
