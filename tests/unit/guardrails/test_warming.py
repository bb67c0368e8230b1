"""A process has the commonest patterns compiled before it needs them."""

from __future__ import annotations

import time

from guardrails.detectors import RuleDetector, builtin
from guardrails.findings import Direction, Role
from guardrails.policy import PolicyStore
from guardrails.policy.warming import warm_up


def compiled(detectors):
    """How many patterns are compiled, and how many there are."""
    questions = [
        question
        for detector in detectors
        if isinstance(detector, RuleDetector)
        for question in detector._rules._live._near
    ]
    return sum("_search" in vars(question) for question in questions), len(questions)


async def test_ordinary_prose_compiles_nothing_after_a_warm_up():
    """What prose asks for is there; what it never asks for is not made for it."""
    detectors = {detector.name: detector for detector in builtin()}
    policy = PolicyStore(folder=None, default_name="default", detectors=detectors).default
    await warm_up(policy)
    before, count = compiled(detectors.values())
    assert 0 < before
    window = policy.open(direction=Direction.OUTPUT, role=Role.ASSISTANT, clock=time.monotonic)
    for word in ("It is a long way to the sea, and back again, in all. " * 5).split(" "):
        window.push(f"{word} ")
    assert (before, count) == compiled(detectors.values())
