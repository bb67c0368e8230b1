"""Where the traces of a command come from, and which of them it means."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from vedette import home
from vedette.cli.terminal import EXIT_CALL_FAILED, fail
from vedette.traces import AmbiguousIdError, TraceFiles, TraceNotFoundError
from vedette.traces.filters import Filter, since_ns
from vedette.traces.remote import RemoteError, RemoteTraces

if TYPE_CHECKING:
    from vedette.traces import Trace

__all__ = [
    "AsJson",
    "Blocked",
    "Errors",
    "Folder",
    "Server",
    "Since",
    "Slow",
    "Tenant",
    "chosen",
    "find",
    "folder_or_default",
    "recent",
]

Folder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="FOLDER", help="Folder of span files; the services' own if not given."
    ),
]
Server: TypeAlias = Annotated[
    str, typer.Option("--from", metavar="URL", help="A Jaeger or Tempo server, instead of files.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Slow: TypeAlias = Annotated[
    float, typer.Option("--slow", metavar="MS", min=0, help="Only those that took this long.")
]
Errors: TypeAlias = Annotated[bool, typer.Option("--error", help="Only those with an error.")]
Blocked: TypeAlias = Annotated[bool, typer.Option("--blocked", help="Only those blocked.")]
Tenant: TypeAlias = Annotated[
    str, typer.Option("--tenant", metavar="NAME", help="Only those of this tenant.")
]
Since: TypeAlias = Annotated[
    str,
    typer.Option("--since", metavar="WHEN", help="Only later ones: 30s, 10m, 2h, 1d or a time."),
]


def recent(folder: Path | None, server: str, conditions: Filter) -> list[Trace]:
    """The latest traces that meet the conditions, newest first; may end the command."""
    try:
        traces = _source(folder, server).recent()
    except RemoteError as error:
        fail(f"{error}.", "Check the address given with --from.", code=EXIT_CALL_FAILED)
    return [trace for trace in traces if conditions.matches(trace)]


def find(trace_id: str, folder: Path | None, server: str = "") -> Trace:
    """The trace that the words on the command line mean; ends the command if there is none."""
    source = _source(folder, server)
    where = server or str(folder_or_default(folder))
    try:
        return source.last() if trace_id == "last" else source.get(trace_id)
    except TraceNotFoundError as error:
        remedy = "Start the services with `vedette up` and ask." if trace_id == "last" else ""
        fail(f"{str(error).capitalize()}, in {where}.", remedy or "See `vedette trace ls`.")
    except AmbiguousIdError as error:
        fail(f"{error}.", "Say more of it: " + ", ".join(error.matches[:5]))
    except RemoteError as error:
        fail(f"{error}.", "Check the address given with --from.", code=EXIT_CALL_FAILED)


def chosen(*, slow_ms: float, errors: bool, blocked: bool, tenant: str, since: str) -> Filter:
    """The conditions that the options say; ends the command if they make no sense."""
    try:
        from_ns = since_ns(since, now=datetime.now().astimezone()) if since else 0
    except (ValueError, OverflowError):
        fail(f"--since {since} is no time.", "Say 30s, 10m, 2h, 1d or 2026-11-21T07:00.", code=2)
    return Filter(
        slow_ns=round(slow_ms * 1e6),
        errors=errors,
        blocked=blocked,
        tenant=tenant,
        since_ns=from_ns,
    )


def folder_or_default(folder: Path | None) -> Path:
    """The folder that was named, or the services' own."""
    return folder or home.traces_dir()


def _source(folder: Path | None, server: str) -> TraceFiles | RemoteTraces:
    if server and folder:
        fail("--dir and --from name two places.", "Give one of them.", code=2)
    if not server:
        return TraceFiles(folder_or_default(folder))
    try:
        return RemoteTraces(server)
    except ValueError as error:
        fail(f"{error}.", "For example: --from http://localhost:16686", code=2)
