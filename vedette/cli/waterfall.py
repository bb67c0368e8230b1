"""Draws one trace as a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from vedette.cli.terminal import COLOURS
from vedette.counting import counted
from vedette.traces import analysis, names, verdicts
from vedette.traces.cause import cause
from vedette.traces.spans import Kind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from vedette.traces.spans import Span
    from vedette.traces.trace import Row, Trace
    from vedette.traces.verdicts import Verdict

__all__ = ["badge", "colour_of", "milliseconds", "waterfall"]

_OTHER_COLOUR: Final = "blue"
# What the columns beside tree, bar and ending need, in a wide terminal and in a narrow one.
_OTHER_COLUMNS: Final = 39
_OTHER_COLUMNS_NARROW: Final = 19
_WIDE: Final = 110
_NUMBER_WIDTH: Final = 7
_ACTION_COLOURS: Final = {"BLOCK": "bold red", "REDACT": "yellow", "REVIEW": "yellow"}
_SHARES_SHOWN: Final = 5


def waterfall(trace: Trace, *, width: int) -> RenderableType:
    """A headline, the largest share of the time, a row for each span, and where the time went.

    A row says service, place in the tree, when it ran, how long, how much of that was its own,
    and how it ended. The heavy part of a bar is on the critical path. A narrow terminal goes
    without the own time, and names a service only where a call arrives at it.
    """
    is_wide = width >= _WIDE
    rows = list(trace.rows())
    labels = [_label(row, is_wide=is_wide) for row in rows]
    endings = [_ending(row.span) for row in rows]
    others = _OTHER_COLUMNS if is_wide else _OTHER_COLUMNS_NARROW
    others += max(ending.cell_len for ending in endings)
    canvas = _Canvas(trace, max(10, width - max(label.cell_len for label in labels) - others))
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=False)
    if is_wide:
        table.add_column("service", no_wrap=True)
    table.add_column("span", no_wrap=True, overflow="ellipsis")
    table.add_column(canvas.marks(), no_wrap=True, min_width=10)
    for title in ("at", "took", "self") if is_wide else ("at", "took"):
        table.add_column(title, justify="right", no_wrap=True, min_width=_NUMBER_WIDTH)
    table.add_column("", no_wrap=True)
    for row, label, ending in zip(rows, labels, endings, strict=True):
        times = (row.span.start_ns - trace.start_ns, row.span.duration_ns)
        service = Text(row.span.service, style=colour_of(row.span.service))
        own = milliseconds(analysis.self_time_ns(trace, row.span))
        table.add_row(
            *([service] if is_wide else []),
            label,
            canvas.bar(row.span),
            *map(milliseconds, times),
            *([own] if is_wide else []),
            ending,
        )
    return Group(_headline(trace), *_cause(trace), table, *_explanation(trace), *_problems(trace))


def milliseconds(time_ns: float) -> str:
    """A time for people: three digits are enough to compare by."""
    ms = time_ns / 1e6
    if abs(ms) >= 10_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if abs(ms) >= 100 else f"{ms:.1f} ms" if abs(ms) >= 1 else f"{ms:.2f} ms"


def colour_of(service: str) -> str:
    """The colour of a service, the same everywhere."""
    return COLOURS.get(service, _OTHER_COLOUR)


def badge(verdict: Verdict) -> Text:
    """A verdict in a few words; nothing for one that is clean."""
    if verdict.is_clean:
        return Text()
    style = _ACTION_COLOURS.get(verdict.action, "yellow")
    words = [verdict.action.lower(), *verdict.categories, *verdict.not_run]
    return Text(" ".join(word for word in words if word), style=style)


def _headline(trace: Trace) -> Text:
    text = Text("trace ").append(trace.trace_id, style="bold")
    text.append(f"  {trace.outcome}, {milliseconds(trace.duration_ns)}, ")
    text.append(f"{counted(len(trace.spans), 'span')}:")
    for service in trace.services:
        text.append(f" {service}", style=colour_of(service))
    first_ns = analysis.first_token_ns(trace)
    if first_ns is not None:
        text.append(f"; first token after {milliseconds(first_ns)}")
    rate = analysis.tokens_per_s(trace)
    if rate is not None:
        text.append(f"; {rate:.0f} tokens/s")
    verdict = verdicts.of_trace(trace)
    if verdict is not None and not verdict.is_clean:
        text.append("; ").append_text(badge(verdict))
    if trace.degradations:
        text.append("; ").append(f"reduced: {', '.join(trace.degradations)}", style="yellow")
    return text


def _cause(trace: Trace) -> Iterator[Text]:
    """What the caller waited for most, and why that takes time."""
    found = cause(trace)
    if found is None or len(trace.spans) == 1:
        return
    text = Text("mostly ").append(found.name, style=f"bold {colour_of(found.span.service)}")
    spans = f" in {counted(found.count, 'span')}" if found.count > 1 else ""
    text.append(f"{spans}, {milliseconds(found.time_ns)} ({round(100 * found.share)} %): ")
    yield text.append(found.words)


def _explanation(trace: Trace) -> Iterator[Text]:
    """Where the time went, and the stretches that nothing explains."""
    kinds = analysis.kinds(analysis.critical_path(trace))[:_SHARES_SHOWN]
    if len(trace.spans) > 1 and trace.root.duration_ns:
        text = Text("critical path:", style="dim")
        for spans, time_ns in kinds:
            percent = round(100 * time_ns / trace.root.duration_ns)
            if percent:
                text.append(f" {spans[0].short_name}", style=colour_of(spans[0].service))
                text.append(f" {milliseconds(time_ns)} ({percent} %)")
        yield text
    for gap in analysis.notable_gaps(trace):
        took, start = milliseconds(gap.duration_ns), milliseconds(gap.start_ns - trace.start_ns)
        where = f"{gap.span.short_name} of {gap.span.service}"
        yield Text(f"gap: {took} from {start} in {where}: {gap.note}", style="yellow")


def _problems(trace: Trace) -> Iterator[Text]:
    for hop in trace.missing_hops:
        problem = f"no span of {hop}, which this request must have reached"
        yield Text(f"incomplete: {problem}", style="yellow")
    for span in trace.orphans:
        problem = f"{span.short_name} of {span.service} has lost its parent {span.parent_id}"
        yield Text(f"incomplete: {problem}", style="yellow")


def _label(row: Row, *, is_wide: bool) -> Text:
    guides = "".join("│ " if goes_on else "  " for goes_on in row.ancestors_continue)
    branch = ("└ " if row.is_last else "├ ") if row.depth else ""
    name = row.span.short_name if is_wide else _narrow_name(row.span)
    return Text(guides + branch, style="dim").append(name, style=colour_of(row.span.service))


def _narrow_name(span: Span) -> str:
    """A call by its method alone, below the name of the service that it arrives at."""
    method = span.short_name.rsplit("/")[-1]
    if span.kind is Kind.SERVER:
        return f"{span.service} {method}"
    return f"→ {method}" if span.kind is Kind.CLIENT else method


def _ending(span: Span) -> Text:
    if span.status is Status.ERROR:
        return Text(str(span.attributes.get(names.RPC_STATUS_CODE, "ERROR")), style="bold red")
    verdict = verdicts.of_span(span)
    if verdict is not None:
        return badge(verdict)
    reason = str(span.attributes.get(names.FINISH_REASON, "")).lower()
    if reason:
        return Text(reason, style="bold red" if reason == "blocked" else "")
    if span.shared_with:
        return Text(f"shared with {len(span.shared_with)}", style="dim")
    outcome = str(span.attributes.get(names.STEP_OUTCOME, ""))
    if outcome:
        return Text(outcome, style="dim")
    code = str(span.attributes.get(names.RPC_STATUS_CODE, "OK"))
    return Text("" if code == "OK" else code, style="yellow")


class _Canvas:
    """The columns in which the bars stand."""

    def __init__(self, trace: Trace, width: int) -> None:
        self._trace = trace
        self._width = width
        self._path = analysis.critical_path(trace)

    def marks(self) -> Text:
        """The heading: where the first token came."""
        first_ns = analysis.first_token_ns(self._trace)
        if first_ns is None:
            return Text()
        column = self._column(self._trace.start_ns + first_ns)
        words = "first token"
        if column + 2 + len(words) <= self._width:
            return Text(" " * column + f"▼ {words}")
        return Text(f"{words} ▼".rjust(column + 1))

    def bar(self, span: Span) -> Text:
        """A bar from start to end; heavy where the span is what the caller waits for."""
        start, end = self._columns(span.start_ns, span.end_ns)
        cells = ["─"] * (end - start)
        for segment in self._path:
            if segment.span.span_id == span.span_id:
                heavy_start, heavy_end = self._columns(segment.start_ns, segment.end_ns)
                for column in range(max(start, heavy_start), min(end, heavy_end)):
                    cells[column - start] = "━"
        text = Text(" " * start).append("".join(cells), style=colour_of(span.service))
        return text.append(" " * (self._width - end))

    def _columns(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        start = self._column(start_ns)
        scale = self._width / max(1, self._trace.duration_ns)
        end = start + max(1, round((end_ns - start_ns) * scale))
        return start, min(self._width, end)

    def _column(self, time_ns: int) -> int:
        offset_ns = min(max(0, time_ns - self._trace.start_ns), self._trace.duration_ns)
        column = int(offset_ns * self._width / max(1, self._trace.duration_ns))
        return min(self._width - 1, column)
