"""`vedette trace`: what the services recorded."""

from __future__ import annotations

import typer

from vedette.cli.trace.diff import diff
from vedette.cli.trace.ls import ls
from vedette.cli.trace.show import show
from vedette.cli.trace.stats import stats
from vedette.cli.trace.tail import tail
from vedette.cli.verbs import Group, Verb

__all__ = ["app"]

app = typer.Typer(
    name="trace",
    cls=Group,
    no_args_is_help=True,
    help="What the services recorded on this machine.",
)
for _verb in (ls, show, tail, diff, stats):
    app.command(cls=Verb)(_verb)
