"""`vedette trace show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from vedette.cli.terminal import EXIT_NO, drawing_width, fail, out
from vedette.cli.trace.sources import AsJson, Folder, Server, find
from vedette.cli.waterfall import waterfall
from vedette.pages import trace_page
from vedette.traces.export import as_json as trace_as_json

__all__ = ["show"]

_Html: TypeAlias = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page to attach or send.")
]


def show(
    trace_id: Annotated[
        str, typer.Argument(metavar="ID", help="A trace id, the beginning of one, or `last`.")
    ],
    *,
    html: _Html = None,
    folder: Folder = None,
    server: Server = "",
    as_json: AsJson = False,
) -> None:
    """Draw one trace as a waterfall across the services.

    With --json, print its spans, and exit with code 1 if a service that the request must have
    reached left no span, or a span has lost its parent.
    With --html, write one self-contained page with a waterfall that can be zoomed.

    Examples:
      vedette trace show last
      vedette trace show 8aee --html slow.html
      vedette trace show last --from http://localhost:16686
    """
    trace = find(trace_id, folder, server)
    if html is not None:
        _write(html, trace_page(trace))
    if as_json:
        out.print_json(json.dumps(trace_as_json(trace)))
        if not trace.is_whole:
            raise typer.Exit(EXIT_NO)
    elif html is None:
        out.print(waterfall(trace, width=drawing_width()), soft_wrap=True)


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.", "Name another file with --html.")
