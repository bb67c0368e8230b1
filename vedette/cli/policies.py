"""`vedette policies`: what requests can be checked by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table
from rich.text import Text

from vedette.cli.asking import DEADLINE_S, asked
from vedette.cli.terminal import out
from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs
from vedette.services import GUARDRAILS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc

__all__ = ["policies"]


def policies(
    *,
    target: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="The guardrails service.", show_default="that of `vedette up`"
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the policies that guardrails holds, the default first.

    Which of them callers may name is for the gateway to say: VEDETTE_GATEWAY_POLICIES, or the
    access file.

    Examples:
      vedette policies
      vedette policies --json | jq '.[].digest'
    """

    async def call(channel: grpc.aio.Channel) -> pb.ListPoliciesResponse:
        stub: stubs.GuardrailsServiceAsyncStub = stubs.GuardrailsServiceStub(channel)
        return await stub.ListPolicies(pb.ListPoliciesRequest(), timeout=DEADLINE_S)

    held = asked(target or GUARDRAILS.address(), call).policies
    if as_json:
        found = [
            MessageToDict(
                policy,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for policy in held
        ]
        out.print_json(json.dumps(found))
    else:
        out.print(_table(held))


def _table(held: Iterable[pb.Policy]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("policy", "digest", ""):
        table.add_column(title, no_wrap=True)
    table.add_column("description")
    for policy in held:
        kind = "default" if policy.is_default else ""
        if policy.shadow_of:
            kind = f"beside {policy.shadow_of}"
        table.add_row(
            Text(policy.name), policy.digest[:12], Text(kind), Text(policy.description.strip())
        )
    return table
