"""The waterfall at the widths that people have."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vedette.cli.trace.listing import listing
from vedette.cli.waterfall import milliseconds, waterfall


def drawn(renderable, width):
    file = io.StringIO()
    Console(file=file, width=width).print(renderable)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_number_is_cut_and_no_line_too_long(whole_request, trace_of, width):
    """A narrow terminal loses columns, not digits."""
    said = drawn(waterfall(trace_of(whole_request()), width=width), width)
    _, *rows = said.splitlines()
    assert "…" not in said
    assert all(len(row) <= width for row in rows)
    assert sum("100 ms" in row for row in rows) == 1


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_listing_keeps_what_matters_most(whole_request, trace_of, width):
    """Id, times and outcome are whole at any width."""
    said = drawn(listing([trace_of(whole_request())], width=width), width)
    _, line = said.splitlines()
    assert line.startswith("a" * 12)
    assert "100 ms" in line
    assert "stop" in line


def test_bars_stand_where_the_time_was(span, trace_of):
    """Half the time is half the width, and the heavy part is what was waited for."""
    trace = trace_of([span("a", at=(0, 100)), span("b", "a", at=(50, 100))])
    _, _, _, first, second, *_ = drawn(waterfall(trace, width=120), 120).splitlines()
    heavy, light = first.count("━"), first.count("─")
    assert heavy == pytest.approx(light, abs=1)
    assert second.count("━") == pytest.approx(light, abs=1)
    assert second.count("─") == 0
    assert second.index("━") == pytest.approx(first.index("─"), abs=1)


@pytest.mark.parametrize(
    ("time_ns", "expected"),
    [
        (0, "0.00 ms"),
        (1_234, "0.00 ms"),
        (999_000, "1.00 ms"),
        (12_340_000, "12.3 ms"),
        (999_900_000, "1000 ms"),
        (12_345_000_000, "12.3 s"),
        (-5_000_000, "-5.0 ms"),
    ],
)
def test_times_have_about_three_digits(time_ns, expected):
    """Enough to compare by."""
    assert milliseconds(time_ns) == expected
