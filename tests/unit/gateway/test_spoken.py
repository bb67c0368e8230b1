"""Which tokens may be told about."""

from __future__ import annotations

import hashlib

import pytest

from gateway.spoken import Spoken, TokenLogprob


def _told(text: str, tokens: list[str], released: str | None = None) -> list[str]:
    spoken = Spoken()
    spoken.add(text, [TokenLogprob(number, token, -1.0) for number, token in enumerate(tokens)])
    shown = text if released is None else released
    return [each.token for each in spoken.told(hashlib.sha256(shown.encode()).hexdigest())]


@pytest.mark.parametrize(
    ("text", "tokens", "told"),
    [
        pytest.param("one two", ["one", " two"], 2, id="all of them"),
        pytest.param("one two", ["one", " two", "<end>"], 2, id="not the end of the answer"),
        pytest.param("one", ["one", " STOP"], 1, id="not what stopped it"),
        pytest.param(
            "a\N{HONEYBEE}b", ["a", "\ufffd", "\ufffd\ufffd", "b"], 4, id="a character in parts"
        ),
        pytest.param("a\N{HONEYBEE}", ["a", "\ufffd", "\ufffd", "<end>"], 3, id="ends with parts"),
        pytest.param("a", ["a", "\ufffd"], 1, id="a part of nothing"),
        pytest.param("one two", ["one", " 2", " two"], 1, id="nothing after what is not there"),
    ],
)
def test_tokens_that_stand_in_the_text_are_told(text: str, tokens: list[str], told: int) -> None:
    """In their order, up to the first that does not."""
    assert told == len(_told(text, tokens))


def test_a_text_that_was_changed_has_no_tokens() -> None:
    """What was masked must not come back as tokens."""
    assert [] == _told("mail a@b.example", ["mail", " a@b.example"], released="mail [EMAIL]")


def test_a_part_of_a_character_has_no_text_of_its_own() -> None:
    """It shows as U+FFFD, however many bytes it has."""
    assert ["a", "\ufffd"] == _told("a\N{HONEYBEE}", ["a", "\ufffd\ufffd\ufffd"])
