"""`vedette trace diff`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from vedette.cli.terminal import out
from vedette.cli.trace.sources import AsJson, Folder, Server, find
from vedette.cli.waterfall import colour_of, milliseconds
from vedette.traces.diff import diff as pairs_of

if TYPE_CHECKING:
    from vedette.traces import Trace
    from vedette.traces.diff import Pair

__all__ = ["diff"]

# Below both, a difference is noise.
_NOISE_NS = 1_000_000
_NOISE_SHARE = 0.1


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A trace id, or its beginning.")],
    after: Annotated[
        str, typer.Argument(metavar="B", help="A trace id, its beginning, or `last`.")
    ],
    *,
    folder: Folder = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
    """Put two traces side by side: what took longer, what is only in one.

    Examples:
      vedette trace diff 8aee last
    """
    old, new = find(before, folder, server), find(after, folder, server)
    pairs = pairs_of(old, new)
    if as_json:
        out.print_json(json.dumps([_as_json(pair) for pair in pairs]))
    else:
        out.print(_headline(old, new))
        out.print(_verdict(pairs))
        out.print(_table(pairs))


def _headline(old: Trace, new: Trace) -> str:
    return (
        f"A {old.trace_id} {old.outcome}, {milliseconds(old.duration_ns)}\n"
        f"B {new.trace_id} {new.outcome}, {milliseconds(new.duration_ns)}"
    )


def _verdict(pairs: list[Pair]) -> Text:
    """The one place where most of the difference is."""
    most = max(pairs, key=lambda pair: abs(pair.waited_change_ns))
    whole_ns = sum(pair.waited_change_ns for pair in pairs)
    text = Text(f"B was waited for {_signed(whole_ns)}, mostly for ")
    text.append(most.span.short_name, style=f"bold {colour_of(most.span.service)}")
    return text.append(f" ({_signed(most.waited_change_ns)})")


def _table(pairs: list[Pair]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("service", no_wrap=True)
    table.add_column("span", no_wrap=True)
    for title in ("A", "B", "change", "waited"):
        table.add_column(title, justify="right", no_wrap=True)
    widest_ns = max((abs(pair.waited_change_ns) for pair in pairs), default=0)
    table.add_column("", no_wrap=True)
    for pair in pairs:
        colour = _colour(pair)
        table.add_row(
            Text(pair.span.service, style=colour_of(pair.span.service)),
            Text("  " * pair.depth + pair.span.short_name),
            milliseconds(pair.before.duration_ns) if pair.before else "-",
            milliseconds(pair.after.duration_ns) if pair.after else "-",
            _change(pair),
            Text(_signed(pair.waited_change_ns), style=colour),
            Text("■" * round(20 * abs(pair.waited_change_ns) / max(1, widest_ns)), style=colour),
        )
    return table


def _change(pair: Pair) -> str:
    if pair.before is None:
        return "only in B"
    if pair.after is None:
        return "only in A"
    return _signed(pair.change_ns)


def _signed(time_ns: int) -> str:
    return ("+" if time_ns >= 0 else "") + milliseconds(time_ns)


def _colour(pair: Pair) -> str:
    before_ns = pair.before.duration_ns if pair.before else 0
    if abs(pair.waited_change_ns) < max(_NOISE_NS, before_ns * _NOISE_SHARE):
        return "dim"
    return "red" if pair.waited_change_ns > 0 else "green"


def _as_json(pair: Pair) -> dict[str, Any]:
    return {
        "service": pair.span.service,
        "name": pair.span.name,
        "depth": pair.depth,
        "before_ms": pair.before.duration_ns / 1e6 if pair.before else None,
        "after_ms": pair.after.duration_ns / 1e6 if pair.after else None,
        "change_ms": pair.change_ns / 1e6,
        "waited_change_ms": pair.waited_change_ns / 1e6,
    }
