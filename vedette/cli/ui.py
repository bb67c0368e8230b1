"""`vedette ui`: the live page."""

from __future__ import annotations

import signal
import threading
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.terminal import err, fail, out
from vedette.cli.trace.sources import Folder, folder_or_default
from vedette.ui import UiServer

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["ui"]


def ui(
    *,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="0 picks a free one.")
    ] = 50060,
    browse: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    folder: Folder = None,
) -> None:
    """Serve a page of live traces, verdicts and latencies on this machine, until Ctrl-C.

    It reads the same files as `vedette trace`, and the services' metrics where they show them.

    Examples:
      vedette ui --open
      vedette ui --port 0
    """
    try:
        server = UiServer(port=port, folder=folder_or_default(folder))
    except OSError:
        fail(
            f"Port {port} cannot be opened: something else may listen there.",
            "Name another one with --port, or 0 for a free one.",
        )
    _stop_at_signals(server)
    with server:
        out.print(f"Vedette shows its traces at {server.url}", soft_wrap=True)
        if browse and not webbrowser.open(server.url):
            err.print("No browser could be opened.")
        server.serve_forever()


def _stop_at_signals(server: UiServer) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        # From another thread: the loop that is to end cannot wait for its own end.
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
