"""`vedette models`: the models on this machine."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import typer

from vedette.cli.terminal import fail

__all__ = ["app"]

app = typer.Typer(name="models", no_args_is_help=True, help="The models on this machine.")


@app.callback()
def _models() -> None:
    """The models on this machine."""


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def pull(context: typer.Context) -> None:
    """Fetch the default model, check it and convert it; does nothing that is done already.

    Further arguments go to `python -m inference pull`, which does the work.
    """
    if importlib.util.find_spec("inference") is None:
        fail("The inference service is not installed here.", "pip install 'vedette[inference]'")
    # -P: a folder of that name where the command is run is not our service.
    argv = [sys.executable, "-P", "-m", "inference", "pull", *context.args]
    raise typer.Exit(subprocess.run(argv, check=False).returncode)  # noqa: S603  # our own program
