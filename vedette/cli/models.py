"""`vedette models`: what answers, and how it gets onto this machine."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table
from rich.text import Text

from vedette.cli.asking import DEADLINE_S, asked
from vedette.cli.terminal import fail, out
from vedette.cli.verbs import Group, Verb
from vedette.inference.v1 import inference_pb2 as pb
from vedette.inference.v1 import inference_pb2_grpc as stubs
from vedette.services import INFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc

__all__ = ["app"]

app = typer.Typer(
    name="models",
    cls=Group,
    no_args_is_help=True,
    help="The models that answer, and the default one.",
)


@app.command(cls=Verb)
def ls(
    *,
    target: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="The inference service.", show_default="that of `vedette up`"
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models that the inference service holds, the default first.

    Examples:
      vedette models ls
      vedette models ls --json | jq '.[].name'
    """

    async def call(channel: grpc.aio.Channel) -> pb.ListModelsResponse:
        stub: stubs.InferenceServiceAsyncStub = stubs.InferenceServiceStub(channel)
        return await stub.ListModels(pb.ListModelsRequest(), timeout=DEADLINE_S)

    held = asked(target or INFERENCE.address(), call).models
    if as_json:
        found = [MessageToDict(model, preserving_proto_field_name=True) for model in held]
        out.print_json(json.dumps(found))
    else:
        out.print(_table(held))


def _table(held: Iterable[pb.Model]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("model", "revision", "weights", "device"):
        table.add_column(title, no_wrap=True)
    for title in ("parameters", "memory", "context"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("license", no_wrap=True)
    for model in held:
        table.add_row(
            Text(model.name),
            model.revision.removeprefix("sha256:")[:12],
            pb.Quantization.Name(model.quantization).removeprefix("QUANTIZATION_").lower(),
            model.device,
            f"{model.parameters / 1e6:,.0f} M",
            f"{(model.weight_bytes + model.cache_bytes) / 2**20:,.0f} MiB",
            f"{model.context_length:,}",
            model.license,
        )
    return table


@app.command(cls=Verb, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def pull(context: typer.Context) -> None:
    """Fetch the default model, check it and convert it; does nothing that is done already.

    Further arguments go to `python -m inference pull`, which does the work.

    Example:
      vedette models pull
    """
    if importlib.util.find_spec("inference") is None:
        fail("The inference service is not installed here.", "pip install 'vedette[inference]'")
    # -P: a folder of that name where the command is run is not our service.
    argv = [sys.executable, "-P", "-m", "inference", "pull", *context.args]
    raise typer.Exit(subprocess.run(argv, check=False).returncode)  # noqa: S603  # our own program
