"""A deadline is a value."""

from __future__ import annotations

import math

import pytest

from servicekit.deadline import Deadline


class Context:
    """A call of which only the time left is known."""

    def __init__(self, remaining_s):
        self.remaining_s = remaining_s

    def time_remaining(self):
        return self.remaining_s


def test_a_deadline_is_a_point_on_the_clock():
    """`after` counts from the clock it is given."""
    assert Deadline.after(5, now=lambda: 100.0) == Deadline(105.0)


@pytest.mark.parametrize(
    ("remaining_s", "expected_s"),
    [(None, 30), (5.0, 5), (0.0, 0), (-1.0, 0), (1e10, 24 * 3600)],
    ids=["none was set", "the caller's", "just over", "long over", "absurdly far"],
)
def test_the_callers_deadline_goes_before_the_default(remaining_s, expected_s):
    """A caller's deadline applies whatever the default, and no deadline is endless."""
    deadline = Deadline.of(Context(remaining_s), default_s=30)
    assert deadline.remaining_s() == pytest.approx(expected_s, abs=0.5)


def test_what_remains_is_never_negative():
    """A deadline that has passed leaves nothing, and a margin takes from what is left."""
    past, future = Deadline.after(-1), Deadline.after(10)
    assert (past.remaining_s(), past.expired, future.expired) == (0.0, True, False)
    assert future.remaining_s(margin_s=4) == pytest.approx(6, abs=0.5)
    assert future.remaining_s(margin_s=math.inf) == 0.0


def test_the_sooner_deadline_is_the_smaller():
    """Deadlines compare by time, so that min() is the one that binds."""
    assert min(Deadline(2.0), Deadline(1.0)) == Deadline(1.0)
