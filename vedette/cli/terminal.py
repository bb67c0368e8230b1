"""What every verb of the command shares: where it prints, how it fails, how it shows waiting."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from typing import TextIO

    from vedette.errors import VedetteError

__all__ = [
    "COLOURS",
    "EXIT_CALL_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_NO",
    "drawing_width",
    "err",
    "fail",
    "fail_call",
    "out",
    "read_text",
    "shown",
    "waiting",
]

# 0: done. 2: the command was used wrongly (typer's own).
EXIT_NO: Final = 1  # it ran, and the answer is no: blocked, unhealthy, incomplete
EXIT_CALL_FAILED: Final = 3  # a service could not be asked, or refused
EXIT_INTERRUPTED: Final = 130

COLOURS: Final = {"gateway": "cyan", "guardrails": "magenta", "inference": "green"}

# What a person at a terminal can do, where the service's own words are for programs.
_REMEDIES: Final = {
    "MODEL_NOT_FOUND": "`vedette models ls` lists the models.",
    "POLICY_NOT_FOUND": "`vedette policies` lists the policies; VEDETTE_GATEWAY_POLICIES, or the "
    "access file, says which are open to callers.",
    "UNAUTHENTICATED": "Name the file with your key by --key-file.",
}
_UNBOUNDED: Final = 10_000
_WIDEST_DRAWING: Final = 140


def _console(stream: TextIO, *, stderr: bool) -> Console:
    """Without a terminal there is no width to keep to: nothing is cut, and no sentence wraps."""
    width = None if stream.isatty() or "COLUMNS" in os.environ else _UNBOUNDED
    return Console(stderr=stderr, highlight=False, width=width)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def drawing_width() -> int:
    """How wide a picture made of characters may be."""
    return min(out.width, _WIDEST_DRAWING)


def fail(problem: str, remedy: str = "", *, code: int = EXIT_NO) -> NoReturn:
    """End the command with one sentence and what to do about it."""
    err.print(f"[bold red]error:[/] {escape(problem)}", soft_wrap=True)
    if remedy:
        err.print(escape(remedy), soft_wrap=True)
    raise typer.Exit(code)


def fail_call(error: VedetteError, *, target: str) -> NoReturn:
    """End the command because a call failed."""
    if error.code.name == "UNAVAILABLE" and not error.reason:
        fail(
            f"Nothing answers at {target}.",
            "Start the services with `vedette up`, or name another address with --target.",
            code=EXIT_CALL_FAILED,
        )
    remedy = _REMEDIES.get(error.reason, "")
    if error.retry_after_s is not None:
        remedy = f"{remedy} Try again in {error.retry_after_s:g} s."
    if error.trace_id:
        remedy = f"{remedy} Trace: vedette trace show {error.trace_id}"
    fail(str(error), remedy.strip(), code=EXIT_CALL_FAILED)


def waiting(console: Console) -> Progress:
    """A spinner with the time that has passed; it disappears when it is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def shown(text: str) -> str:
    """Text from elsewhere, safe to print: control characters could move the cursor or worse."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def read_text(words: str) -> str:
    """The text of an argument; `-` reads standard input to its end."""
    text = sys.stdin.read() if words == "-" else words
    if not text.strip():
        fail("There is no text.", "Give it as an argument, or `-` and pipe it in.", code=2)
    return text
