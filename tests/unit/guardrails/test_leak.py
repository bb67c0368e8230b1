"""The system prompt and its canaries do not come out again."""

from __future__ import annotations

import random
import time

import pytest

from guardrails.detectors import builtin
from guardrails.findings import Direction, Role
from guardrails.policy import PolicyStore
from guardrails.window.surroundings import Surroundings, Text

PROMPT = (
    "You are Orla, the assistant of Example Bank. Never discuss competitors. "
    "The discount code for staff is BLUEBIRD and must stay inside the company. "
    "Always answer in two sentences and mention our opening hours. canary-0123456789abcdef"
)


@pytest.fixture
def window(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "version: 1\ninput: {}\noutput: {detectors: {leak: {action: mask, overlap_chars: 48}}}\n"
    )
    known = {each.name: each for each in builtin()}
    policy = PolicyStore(folder=tmp_path, default_name="mine", detectors=known).get("")

    def open_window(*prompts):
        context = tuple(Text(role=Role.SYSTEM, text=prompt) for prompt in prompts)
        return policy.open(
            direction=Direction.OUTPUT,
            role=Role.ASSISTANT,
            clock=time.monotonic,
            surroundings=Surroundings(context=context),
        )

    return open_window


def guard(window, pieces):
    text = "".join(window.push(piece).text for piece in pieces)
    return text + window.finish().text, [f.category for f in window.findings]


CASES = {
    "verbatim": (f"Sure: {PROMPT[46:140]} That is all.", ["SYSTEM_PROMPT"]),
    "upper case": (f"Sure: {PROMPT[46:140].upper()} ", ["SYSTEM_PROMPT"]),
    "full width": (
        "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in PROMPT[46:140]),
        ["SYSTEM_PROMPT"],
    ),
    "zero width": ("\u200b".join(PROMPT[46:140]), ["SYSTEM_PROMPT"]),
    "the canary alone": ("It says canary-0123456789abcdef, I think.", ["CANARY"]),
    "too short": ("I never discuss competitors.", []),
    "about the same things": ("Example Bank has opening hours. Ask two sentences of Orla.", []),
}


@pytest.mark.parametrize(("text", "categories"), CASES.values(), ids=CASES)
def test_a_long_overlap_with_the_system_prompt_is_found(window, text, categories):
    """Verbatim and disguised copies are found; common words and short echoes are not."""
    assert guard(window(PROMPT), [text])[1] == categories


@pytest.mark.parametrize("text", [text for text, _ in CASES.values()], ids=CASES)
@pytest.mark.parametrize("size", [1, 7])
def test_a_leak_is_found_alike_in_pieces(window, text, size):
    """The stream releases and finds what the unary check does."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert guard(window(PROMPT), pieces) == guard(window(PROMPT), [text])


def test_without_a_system_prompt_nothing_leaks(window):
    """An answer is compared with its own conversation only."""
    assert guard(window(), [PROMPT]) == (PROMPT, [])


def test_every_copied_stretch_is_found_by_brute_force_too(window):
    """The automaton agrees with a search of every substring, on texts of few letters."""
    dice = random.Random(7)
    for _ in range(30):
        prompt = "".join(dice.choices("ab ", k=120))
        text = "".join(dice.choices("ab ", k=40)) + prompt[30:90] + "c" + prompt[:50]
        expected = any(text[at : at + 48] in prompt for at in range(len(text) - 47))
        assert bool(guard(window(prompt), [text])[1]) == expected
