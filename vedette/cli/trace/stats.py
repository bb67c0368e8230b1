"""`vedette trace stats`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from vedette.cli.terminal import err, out
from vedette.cli.trace.sources import (
    AsJson,
    Blocked,
    Errors,
    Folder,
    Server,
    Since,
    Slow,
    Tenant,
    chosen,
    recent,
)
from vedette.cli.waterfall import colour_of, milliseconds
from vedette.counting import counted
from vedette.traces.stats import by_span_name

if TYPE_CHECKING:
    from vedette.traces.stats import Summary

__all__ = ["stats"]

_WIDE: Final = 110
_NUMBERS: Final = ("count", "errors", "p50", "p95", "p99", "max", "own p50")
_FEWER_NUMBERS: Final = ("count", "p50", "p95", "p99")


def stats(
    *,
    slow_ms: Slow = 0.0,
    errors: Errors = False,
    blocked: Blocked = False,
    tenant: Tenant = "",
    since: Since = "",
    folder: Folder = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
    """Show how long each kind of span takes: p50, p95, p99 over the latest traces.

    Examples:
      vedette trace stats --since 1h
      vedette trace stats --tenant acme --json
    """
    conditions = chosen(slow_ms=slow_ms, errors=errors, blocked=blocked, tenant=tenant, since=since)
    traces = recent(folder, server, conditions)
    summaries = by_span_name(traces)
    if as_json:
        out.print_json(json.dumps([asdict(summary) for summary in summaries]))
        return
    out.print(_table(summaries, width=out.width))
    err.print(f"[dim]over {counted(len(traces), 'trace')}[/]")


def _table(summaries: list[Summary], *, width: int) -> Table:
    """A row for each kind of span; a narrow terminal goes without what can be spared."""
    is_wide = width >= _WIDE
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    if is_wide:
        table.add_column("service", no_wrap=True)
    table.add_column("span", no_wrap=True, overflow="ellipsis")
    for title in _NUMBERS if is_wide else _FEWER_NUMBERS:
        table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    for summary in summaries:
        errors = Text(str(summary.errors), style="bold red" if summary.errors else "dim")
        numbers = {
            "count": Text(str(summary.count)),
            "errors": errors,
            "p50": Text(milliseconds(summary.p50_ns)),
            "p95": Text(milliseconds(summary.p95_ns)),
            "p99": Text(milliseconds(summary.p99_ns)),
            "max": Text(milliseconds(summary.max_ns)),
            "own p50": Text(milliseconds(summary.self_p50_ns)),
        }
        service = Text(summary.service, style=colour_of(summary.service))
        name = summary.name if is_wide else _narrow_name(summary)
        table.add_row(
            *([service] if is_wide else []),
            Text(name, style="" if is_wide else colour_of(summary.service)),
            *(numbers[title] for title in (_NUMBERS if is_wide else _FEWER_NUMBERS)),
        )
    return table


def _narrow_name(summary: Summary) -> str:
    """With the service, which has no column of its own, and without the service of the contract."""
    arrow = "→ " if summary.name.startswith("→ ") else ""
    return f"{summary.service} {arrow}{summary.name.removeprefix('→ ').rsplit('/')[-1]}"
