"""`vedette trace stats`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

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
from vedette.traces.stats import by_span_name

if TYPE_CHECKING:
    from vedette.traces.stats import Summary

__all__ = ["stats"]


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
    """Show how long each kind of span takes: p50, p95, p99 over the latest traces."""
    conditions = chosen(slow_ms=slow_ms, errors=errors, blocked=blocked, tenant=tenant, since=since)
    traces = recent(folder, server, conditions)
    summaries = by_span_name(traces)
    if as_json:
        out.print_json(json.dumps([asdict(summary) for summary in summaries]))
        return
    out.print(_table(summaries))
    err.print(f"[dim]over {len(traces)} traces[/]")


def _table(summaries: list[Summary]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("service", no_wrap=True)
    table.add_column("span", no_wrap=True)
    for title in ("count", "errors", "p50", "p95", "p99", "max", "own p50"):
        table.add_column(title, justify="right", no_wrap=True)
    for summary in summaries:
        times = (summary.p50_ns, summary.p95_ns, summary.p99_ns, summary.max_ns)
        table.add_row(
            Text(summary.service, style=colour_of(summary.service)),
            Text(summary.name),
            str(summary.count),
            Text(str(summary.errors), style="bold red" if summary.errors else "dim"),
            *map(milliseconds, times),
            milliseconds(summary.self_p50_ns),
        )
    return table
