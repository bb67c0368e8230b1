"""A judge is asked about a stretch once for each tenant, as long as there is room to remember."""

from __future__ import annotations

import gc
import weakref

import pytest

from guardrails.recollection import Recollection


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
