"""Text from tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.backends.weightless import weightless_tokenizer
from inference.engine.detokenizer import Detokenizer

TOKENIZER = weightless_tokenizer().backend


def pieces_of(tokens):
    detokenizer = Detokenizer(TOKENIZER, ())
    return [*(detokenizer.push(token) for token in tokens), detokenizer.flush()]


@given(st.text().filter(lambda text: "<|" not in text))
def test_every_text_comes_back(text):
    """Pieces join to the text, and none holds part of a character."""
    tokens = TOKENIZER.encode(text, add_special_tokens=False).ids
    pieces = pieces_of(tokens)
    assert text == "".join(pieces)
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


def test_a_character_waits_for_its_last_byte():
    """Nothing is passed on until a character is complete."""
    tokens = TOKENIZER.encode("é", add_special_tokens=False).ids
    assert ["", "é", ""] == pieces_of(tokens)


def test_half_a_character_at_the_end_is_shown_as_such():
    """An answer cut inside a character ends with U+FFFD."""
    tokens = TOKENIZER.encode("a€", add_special_tokens=False).ids[:-1]
    assert "a\ufffd" == "".join(pieces_of(tokens))


@given(st.lists(st.integers(0, 255), max_size=40))
def test_bytes_that_are_no_text_hold_nothing_up(tokens):
    """A model that speaks nonsense still gets its text out soon."""
    pieces = pieces_of(tokens)
    assert len(pieces[-1]) <= 8
    "".join(pieces).encode()


def test_control_tokens_leave_no_text():
    """A control token in an answer is not shown."""
    control = TOKENIZER.token_to_id("<|user|>")
    letter = TOKENIZER.encode("a", add_special_tokens=False).ids
    assert "aa" == "".join(pieces_of([*letter, control, *letter]))
