"""The `vedette` command: one module a verb."""

from __future__ import annotations

import os

# The library's own notes on standard error would mix with what a command prints.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import typer

from vedette.cli import models, review, trace
from vedette.cli.ask import ask
from vedette.cli.check import check
from vedette.cli.decision import decision
from vedette.cli.demo import demo
from vedette.cli.health import health
from vedette.cli.reports import usage
from vedette.cli.shadow import shadow
from vedette.cli.ui import ui
from vedette.cli.up import up

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # A traceback that shows local variables would show prompts.
    pretty_exceptions_enable=False,
    help="A guarded language model behind one address.",
)
app.command()(up)
app.command()(demo)
app.command()(ask)
app.command()(check)
app.command()(health)
app.command()(usage)
app.command()(decision)
app.command()(ui)
app.add_typer(review.app, name="review")
app.command()(shadow)
app.add_typer(models.app, name="models")
app.add_typer(trace.app, name="trace")


def main() -> None:
    """Run the command; the entry point of the installed script."""
    app()
