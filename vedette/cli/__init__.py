"""The `vedette` command: one module a verb."""

from __future__ import annotations

import os
from importlib import metadata
from typing import Annotated, Final

# The library's own notes on standard error would mix with what a command prints.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import typer

from vedette.cli import models, review, trace
from vedette.cli.ask import ask
from vedette.cli.check import check
from vedette.cli.decision import decision
from vedette.cli.demo import demo
from vedette.cli.health import health
from vedette.cli.policies import policies
from vedette.cli.reports import usage
from vedette.cli.shadow import shadow
from vedette.cli.ui import ui
from vedette.cli.up import up
from vedette.cli.verbs import Group, Verb

__all__ = ["app", "main"]

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # A traceback that shows local variables would show prompts.
    pretty_exceptions_enable=False,
    epilog="First `vedette up` in one terminal, then `vedette ask` and `vedette trace show last`.",
)
_PANELS: Final = {
    "Run it": (up, demo, models.app),
    "Use it": (ask, check),
    "See what happened": (trace.app, decision, ui),
    "Operate it": (health, policies, usage, review.app, shadow),
}


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"vedette {metadata.version('vedette')}")
        raise typer.Exit


@app.callback(help="A guarded language model behind one address.")
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda value: _print_version(wanted=value),
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Nothing besides."""


for _panel, _verbs in _PANELS.items():
    for _verb in _verbs:
        if isinstance(_verb, typer.Typer):
            app.add_typer(_verb, rich_help_panel=_panel)
        else:
            app.command(cls=Verb, rich_help_panel=_panel)(_verb)


def main() -> None:
    """Run the command; the entry point of the installed script."""
    app()
