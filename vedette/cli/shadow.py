"""`vedette shadow`: where candidate policies would have done otherwise."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from vedette import home
from vedette.cli.terminal import err, out
from vedette.cli.trace.sources import Folder  # noqa: TC001 - typer reads it
from vedette.counting import counted
from vedette.shadows import reports

if TYPE_CHECKING:
    from vedette.shadows import Report

__all__ = ["shadow"]


def shadow(
    candidate: Annotated[str, typer.Argument(metavar="POLICY", help="Only this candidate.")] = "",
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Earlier versions of the policies as well.")
    ] = False,
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where candidate policies disagree with the active ones, by direction and category.

    What is shown for example is named by its request or the hash of its text, never by content.

    Examples:
      vedette shadow
      vedette shadow next --json
    """
    chosen: dict[object, Report] = {}
    for report in reports(folder or home.shadow_dir()):
        if candidate in ("", report.candidate):
            pair = (report.active, report.candidate)
            version = (report.active_digest, report.candidate_digest) if everything else ()
            chosen.setdefault((*pair, *version), report)
    if as_json:
        out.print_json(json.dumps([asdict(report) for report in chosen.values()]))
        return
    if not chosen:
        err.print(
            "Nothing was compared. Give a policy `shadow_of: NAME`, and let requests come; "
            "guardrails writes every few seconds."
        )
    for report in chosen.values():
        _print(report)


def _print(report: Report) -> None:
    compared = sum(report.compared.values())
    share = 100 * report.disagreed / compared if compared else 0.0
    out.print(
        Text(
            f"{report.candidate} ({report.candidate_digest[:12]}) beside "
            f"{report.active} ({report.active_digest[:12]}), "
            f"{_time(report.since_s)} to {_time(report.until_s)}"
        )
    )
    ways = ", ".join(f"{count} {way}" for way, count in sorted(report.compared.items()))
    out.print(
        Text(
            f"{counted(compared, 'text')} compared ({ways}), "
            f"{report.disagreed} otherwise ({share:.1f} %), "
            f"{report.dropped} passed over under load, {report.failed} not fully judged"
        )
    )
    if report.rows:
        out.print(_table(report))


def _table(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("direction", "category", "active", "candidate"):
        table.add_column(title, no_wrap=True)
    table.add_column("texts", justify="right", no_wrap=True)
    table.add_column("for example", overflow="fold")
    for row in report.rows:
        example = row.examples[0] if row.examples else {}
        name = example.get("request_id") or example.get("text_sha256", "")[:12]
        ours, theirs = row.active, row.candidate
        table.add_row(row.direction, row.category, ours, theirs, str(row.count), name)
    return table


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
