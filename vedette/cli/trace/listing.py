"""Traces as lines of a table."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from vedette.cli.waterfall import badge, colour_of, milliseconds
from vedette.traces import analysis, verdicts
from vedette.traces.cause import cause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vedette.traces import Trace

__all__ = ["listing"]

_OUTCOME_COLOURS: Final = {
    "error": "bold red",
    "blocked": "yellow",
    "cancelled": "dim",
    "time_limit": "yellow",
}
_COLUMNS: Final = (
    ("trace", 12, "left"),
    ("began", 14, "left"),
    ("took", 8, "right"),
    ("first", 8, "right"),
    ("spans", 5, "right"),
    ("outcome", 9, "left"),
    ("call", 28, "left"),
    ("services", 28, "left"),
    ("mostly", 22, "left"),
    ("notes", 0, "left"),
)
# A narrow terminal goes without these.
_WIDE: Final = 100
_TIME: Final = 8
_NEEDS: Final = {"first": 72, "spans": _WIDE, "mostly": _WIDE, "call": 140, "services": 170}


def listing(traces: Iterable[Trace], *, width: int, header: bool = True) -> Table:
    """One line a trace. Columns have fixed widths, so that lines printed one by one align."""
    shown = [index for index, (title, *_) in enumerate(_COLUMNS) if width >= _NEEDS.get(title, 0)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=header)
    for title, least, justify in (_COLUMNS[index] for index in shown):
        shortest = _TIME if title == "began" and width < _WIDE else least
        table.add_column(title, min_width=shortest, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for trace in traces:
        cells = _cells(trace, width=width)
        table.add_row(*(cells[index] for index in shown))
    return table


def _cells(trace: Trace, *, width: int) -> tuple[Text, ...]:
    began = datetime.fromtimestamp(trace.start_ns / 1e9).astimezone()
    first_ns = analysis.first_token_ns(trace)
    return (
        Text(trace.trace_id[:12]),
        Text(_when(began, width=width)),
        Text(milliseconds(trace.duration_ns)),
        Text("" if first_ns is None else milliseconds(first_ns)),
        Text(str(len(trace.spans))),
        Text(trace.outcome, style=_OUTCOME_COLOURS.get(trace.outcome, "")),
        Text(trace.root.short_name),
        Text(" ").join(Text(service, style=colour_of(service)) for service in trace.services),
        _mostly(trace),
        _notes(trace),
    )


def _when(began: datetime, *, width: int) -> str:
    """Date and time; where there is little room, of today the time alone."""
    is_today = began.date() == datetime.now(began.tzinfo).date()
    return began.strftime("%H:%M:%S" if is_today and width < _WIDE else "%m-%d %H:%M:%S")


def _notes(trace: Trace) -> Text:
    """What the guards found, and what worked in a reduced way."""
    verdict = verdicts.of_trace(trace)
    found = Text() if verdict is None else badge(verdict)
    reduced = Text(", ".join(trace.degradations), style="yellow")
    return Text(" ").join(part for part in (found, reduced) if part)


def _mostly(trace: Trace) -> Text:
    found = cause(trace)
    if found is None or len(trace.spans) == 1:
        return Text()
    words = f"{found.short_name.rsplit('/')[-1]} {round(100 * found.share)} %"
    return Text(words, style=colour_of(found.span.service))
