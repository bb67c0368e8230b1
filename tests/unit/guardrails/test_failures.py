"""A check that did not run is not a pass."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
import structlog

from guardrails.detectors import builtin
from guardrails.findings import Action, Direction, ExecutionState, Match, Role
from guardrails.pipeline.checking import Checker, Text
from guardrails.policy import PolicyStore
from guardrails.window.failures import FailureLog


@dataclass
class Fake:
    """A detector that does as a test tells it; it is its own scan."""

    error: Exception | None = None
    asks: bool = False
    name: str = "fake"
    version: str = "1"
    categories: frozenset[str] = frozenset({"BAD"})
    settled: int = 0
    asked: dict[int, str] = field(default_factory=dict)

    def open(self):
        return Fake(error=self.error) if not self.asks else AskingFake()

    def push(self, piece, *, last, timeout_s):
        if self.error:
            raise self.error
        self.settled += len(piece)
        return []


class AskingFake(Fake):
    """Asks about everything at the end of the text."""

    def push(self, piece, *, last, timeout_s):
        self.asked[0] = self.asked.get(0, "") + piece
        self.complete = last
        return []

    def pending(self):
        return list(self.asked.items()) if self.complete else []

    def resolve(self, number, scores):
        self.settled = len(self.asked.pop(number))
        return [
            Match(start=0, end=self.settled, category=category, rule_id="fake", score=score)
            for category, score in scores.items()
        ]


class Judge:
    def __init__(self, answer):
        self.answer = answer

    async def judge(self, text):
        if self.answer == "hang":
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def policy_with(tmp_path, fake, *, on_failure):
    (tmp_path / "mine.yaml").write_text(
        "version: 1\n"
        + "".join(
            f"{direction}: {{detectors: {{fake: "
            f"{{action: block, on_failure: {on_failure}, timeout_s: 0.01}}}}}}\n"
            for direction in ("input", "output")
        )
    )
    known = {detector.name: detector for detector in builtin()} | {"fake": fake}
    return PolicyStore(folder=tmp_path, default_name="mine", detectors=known).get("mine")


async def check(policy, judge=None, direction=Direction.OUTPUT):
    checker = Checker(judges={"fake": judge} if judge else {})
    return await checker.check(
        policy, Text(role=Role.ASSISTANT, text="some text"), direction=direction
    )


CASES = {
    "raises": (Fake(error=ValueError("secret")), None, ExecutionState.FAILED),
    "is too slow": (Fake(error=TimeoutError()), None, ExecutionState.TIMED_OUT),
    "judge raises": (Fake(asks=True), Judge(ValueError("secret")), ExecutionState.FAILED),
    "judge hangs": (Fake(asks=True), Judge("hang"), ExecutionState.TIMED_OUT),
}


@pytest.mark.parametrize(("fake", "judge", "state"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("direction", Direction)
async def test_a_failure_blocks_unless_the_policy_says_otherwise(
    tmp_path, fake, judge, state, direction
):
    """By default nothing leaves; there is no finding, and the execution says what happened."""
    checked = await check(policy_with(tmp_path, fake, on_failure="block"), judge, direction)
    assert (checked.text, checked.findings, checked.action) == ("", (), Action.BLOCK)
    assert [(each.detector, each.state) for each in checked.executions] == [("fake", state)]


@pytest.mark.parametrize(("fake", "judge", "state"), CASES.values(), ids=CASES)
async def test_a_failure_that_the_policy_allows_stays_visible(tmp_path, fake, judge, state):
    """The text passes, and the execution still says that the check did not run."""
    checked = await check(policy_with(tmp_path, fake, on_failure="allow"), judge)
    assert (checked.text, checked.action) == ("some text", Action.ALLOW)
    assert [each.state for each in checked.executions] == [state]


@pytest.mark.parametrize(
    ("score", "text", "action"),
    [(0.9, "", Action.BLOCK), (0.1, "some text", Action.ALLOW)],
    ids=["above the threshold", "below the threshold"],
)
async def test_a_judge_is_awaited_and_its_score_is_told(tmp_path, score, text, action):
    """Nothing leaves before the answer; the score is told whether or not it crossed."""
    policy = policy_with(tmp_path, Fake(asks=True), on_failure="block")
    checked = await check(policy, Judge({"BAD": score}))
    assert (checked.text, checked.action) == (text, action)
    assert [(each.state, each.score) for each in checked.executions] == [
        (ExecutionState.RAN, score)
    ]


def test_a_failure_is_logged_once_a_minute_by_kind_and_place_and_never_by_text():
    """Which detector, what kind of error, where; the error's text may quote what was scanned."""
    now = [0.0]
    log = FailureLog(clock=lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        for now[0], error in (
            (0, ValueError("plantedsecret")),
            (59, ValueError("plantedsecret")),
            (59, KeyError("plantedsecret")),
            (60, ValueError("plantedsecret")),
        ):
            log.report("pii", error)
    said = [(line["event"], line["detector"], line["error"]) for line in lines]
    assert said == [
        ("detector.failed", "pii", kind) for kind in ("ValueError", "KeyError", "ValueError")
    ]
    assert "plantedsecret" not in str(lines)
