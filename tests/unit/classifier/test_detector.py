from __future__ import annotations

import random

from guardrails.classifier import Checkpoints, ClassifierDetector
from guardrails.findings import ExecutionState, Treatment
from guardrails.window.bands import Bands
from guardrails.window.lanes import Lane, LaneSettings
from guardrails.window.surroundings import Surroundings
from guardrails.window.window import GuardWindow

CHECKPOINTS = Checkpoints(stride_chars=20, window_chars=50)
TEXT = "One sentence stands here. Another with evil in it follows. Then a third one ends. So."


def window(treatment=Treatment.MASK, **options) -> GuardWindow:
    detector = ClassifierDetector(
        "planted", version="1", heads={"planted": "ORDER"}, checkpoints=CHECKPOINTS
    )
    settings = LaneSettings(
        bands=Bands(treatment=treatment, threshold=0.5),
        categories={},
        blocks_on_failure=True,
        timeout_s=1,
    )
    lane = Lane(
        detector=detector, settings=settings, surroundings=Surroundings(), clock=lambda: 0.0
    )
    return GuardWindow([lane], policy_digest="0", **{"whole": False, **options})


def answers(guard: GuardWindow, rng: random.Random) -> str:
    released = ""
    while questions := guard.pending():
        question = rng.choice(questions)
        score = 0.9 if "evil" in question.text else 0.1
        released += guard.resolve(question, {"planted": score}).text
    return released


def streamed(pieces: list[str], seed: int) -> tuple[str, GuardWindow]:
    rng, guard, released = random.Random(seed), window(), ""
    for piece in pieces:
        released += guard.push(piece).text
        if rng.random() < 0.5:
            released += answers(guard, rng)
    released += guard.finish().text
    return released + answers(guard, rng), guard


def test_any_cut_and_any_order_of_answers_gives_the_same():
    """Stream equals unary, whichever answer comes first."""
    expected, _ = streamed([TEXT], 0)
    for seed in range(50):
        rng = random.Random(seed)
        cuts = sorted(rng.sample(range(len(TEXT)), 6))
        pieces = [TEXT[a:b] for a, b in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]
        released, guard = streamed(pieces, seed)
        assert released == expected
        assert guard.settled_chars == len(TEXT)


def test_nothing_is_released_before_its_window_is_judged():
    """Text after the last judged checkpoint waits."""
    guard = window()
    assert guard.push(TEXT).text == ""
    first = guard.pending()[0]
    assert guard.resolve(first, {"planted": 0.0}).text == TEXT[: TEXT.index("Another")]


def test_finding_covers_only_what_was_still_held():
    """A finding cannot reach what an earlier checkpoint released."""
    released, _ = streamed([TEXT], 0)
    assert released.startswith(TEXT[: TEXT.index("Another")])
    assert "evil" not in released


def test_score_is_kept_below_the_threshold_too():
    """The execution shows how near it was."""
    guard = window()
    guard.push("Nothing here.")
    guard.finish()
    guard.resolve(guard.pending()[0], {"planted": 0.4})
    assert [execution.score for execution in guard.executions] == [0.4]


def test_answer_without_the_head_is_a_failure():
    """A model that lacks a head did not check it."""
    guard = window()
    guard.push("Nothing here.")
    guard.finish()
    guard.resolve(guard.pending()[0], {"other": 0.4})
    assert [execution.state for execution in guard.executions] == [ExecutionState.FAILED]


def test_empty_text_asks_nothing():
    """There is nothing to judge."""
    guard = window()
    guard.finish()
    assert guard.pending() == []
    assert guard.end is not None
