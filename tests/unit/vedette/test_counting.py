"""Numbers of things, in words."""

from __future__ import annotations

import pytest

from vedette.counting import counted


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 texts"), (1, "1 text"), (2, "2 texts"), (1024, "1,024 texts")],
    ids=["none", "one", "two", "thousands"],
)
def test_one_thing_is_singular(number, expected):
    """All other numbers are plural, and thousands have a comma."""
    assert expected == counted(number, "text")
