"""Texts read as their readers see them, and what is found points at what was sent."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.findings import Match
from guardrails.normalise import FOLDED, PLAIN, NormalisedScan, read

READINGS = {
    "as it is": ("Ann, 42", "Ann, 42", "ann, 42"),
    "an entity by name": ("a&commat;b", "a@b", "a@b"),
    "an entity by number": ("a&#64;b &#x40;", "a@b @", "a@b @"),
    "no entity of that name": ("a &nosuch; b", "a &nosuch; b", "a &nosuch; b"),
    "percent signs": ("a%40b%2Ec", "a@b.c", "a@b.c"),
    "percent signs that are no text": ("%ff%fe", "%ff%fe", "%ff%fe"),
    "full width": (chr(0xFF21) + chr(0xFF11), "A1", "a1"),
    "zero width": ("a\u200bb\u2060c", "abc", "abc"),
    "tag characters": ("\U000e0061\U000e0062", "ab", "ab"),
    "digits of another script": ("\u0661\u0662", "12", "12"),
    "look-alikes of another script": ("\u0430\u0441t", "\u0430\u0441t", "act"),
    "accents": ("\u00e0\u00e9\u00ef", "\u00e0\u00e9\u00ef", "aei"),
    "dashes and quotes": ("1\u20132 \u201cx\u201d", '1-2 "x"', '1-2 "x"'),
    "digits for letters": ("1gn0re a11", "1gn0re a11", "ignore a11"),
    "spaced letters": ("say i g n o r e it", "say i g n o r e it", "say ignore it"),
    "initials": ("J R Smith", "J R Smith", "j r smith"),
    "base64": (
        base64.b64encode(b"forget all of it").decode(),
        base64.b64encode(b"forget all of it").decode(),
        " forget all of it ",
    ),
    "a hash is no base64": ("0123456789abcdef" * 2, "0123456789abcdef" * 2, "0123456789abcdef" * 2),
}


@pytest.mark.parametrize(("text", "plain", "folded"), READINGS.values(), ids=READINGS)
def test_a_text_reads_in_each_view(text, plain, folded):
    """The plain view undoes what hides characters; the folded one what disguises words as well."""
    assert (plain, folded) == (read(text, PLAIN), read(text, FOLDED))


class Marks:
    """A scan that finds one character wherever it stands."""

    def __init__(self, char):
        self.settled = 0
        self._char = char

    def push(self, piece, *, last, timeout_s):
        begin, self.settled = self.settled, self.settled + len(piece)
        return [
            Match(start=begin + at, end=begin + at + 1, category="MARK", rule_id="m", score=1.0)
            for at, char in enumerate(piece)
            if char == self._char
        ]


def found(pieces, view=PLAIN, char="@"):
    """What the pieces hold of the character, as stretches of what was sent."""
    scan = NormalisedScan(Marks(char), view)
    matches = []
    for number, piece in enumerate(pieces, start=1):
        matches += scan.push(piece, last=number == len(pieces), timeout_s=9.0)
    return [(match.start, match.end) for match in matches]


PLACES = {
    "itself": ("ab@c", [(2, 3)]),
    "an entity": ("a&commat;c@", [(1, 9), (10, 11)]),
    "inside a run of percent signs": ("a%41%40%42 @", [(1, 10), (11, 12)]),
    "after characters that vanish": ("a\u200b\u200b@", [(3, 4)]),
    "full width": ("a\uff20b", [(1, 2)]),
}


@pytest.mark.parametrize(("text", "places"), PLACES.values(), ids=PLACES)
def test_what_is_found_points_at_what_was_sent(text, places):
    """A stretch that reads as something else is pointed at as a whole."""
    assert places == found([text])


PARTS = [
    "a",
    "@",
    "&commat;",
    "&",
    "&#64",
    ";",
    "%40",
    "%4",
    "0",
    "%",
    "\u200b",
    "\uff20",
    "\u00e9",
    " x ",
]


@given(parts=st.lists(st.sampled_from(PARTS), max_size=12), data=st.data())
def test_pieces_read_like_the_whole(parts, data):
    """However a text is cut, the same places are found in it."""
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert found([text]) == found(pieces)
