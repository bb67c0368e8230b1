"""`vedette usage`: what was consumed, as the gateway booked it."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table

from vedette import VedetteError
from vedette.cli.connection import CaFile, CertFile, CertKeyFile, KeyFile, Target, gateway
from vedette.cli.terminal import err, fail_call, out

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from google.protobuf.message import Message

    from vedette import Client
    from vedette.gateway.v1 import gateway_pb2 as pb

__all__ = ["DEADLINE_S", "AsJson", "as_json_text", "ask", "usage"]

_Answer = TypeVar("_Answer")
DEADLINE_S: Final = 30.0
# ISO 4217's code for no currency at all, which a gateway without prices says.
_NO_CURRENCY: Final = "XXX"
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _day(text: str) -> str:
    if text:
        try:
            datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007  # only its form matters
        except ValueError:
            raise typer.BadParameter(f"{text} is no day; say it as YYYY-MM-DD.") from None
    return text


def usage(
    *,
    start: Annotated[
        str, typer.Option("--from", metavar="DAY", callback=_day, help="The first day.")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="DAY", callback=_day, help="The last day.")
    ] = "",
    model: Annotated[str, typer.Option(metavar="NAME", help="Only this model.")] = "",
    target: Target = "",
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what the caller's tenant has consumed, by day and model.

    Days are YYYY-MM-DD in UTC; without any it is today.

    Examples:
      vedette usage
      vedette usage --from 2026-11-01 --to 2026-11-30 --json
    """
    client = gateway(target, key_file, ca_file, cert_file, cert_key_file, deadline_s=DEADLINE_S)
    answer = ask(client, client.usage(start_date=start, end_date=end, model=model))
    if as_json:
        out.print_json(as_json_text(answer))
        return
    if answer.rows:
        out.print(_rows(answer))
    else:
        err.print("Nothing was consumed on these days.")
    for budget in answer.budgets:
        resets = budget.resets.ToDatetime().strftime("%Y-%m-%d %H:%M")
        out.print(
            f"{budget.unit} a {budget.period}: {budget.used} of {budget.limit} used, "
            f"{budget.reserved} reserved, until {resets} UTC"
        )


def ask(client: Client, call: Awaitable[_Answer]) -> _Answer:
    """What the gateway answers to one call; ends the command if it fails."""

    async def run() -> _Answer:
        async with client:
            return await call

    try:
        return asyncio.run(run())
    except VedetteError as error:
        fail_call(error, target=client.target)


def as_json_text(message: Message) -> str:
    """A message as JSON, with its fields under the contract's names."""
    return json.dumps(
        MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )


def _rows(answer: pb.GetUsageResponse) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("day", "tenant", "model"):
        table.add_column(title, no_wrap=True)
    for title in ("requests", "blocked", "tokens in", "tokens out", "cost"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in answer.rows:
        counts = (row.requests, row.blocked_requests, row.input_tokens, row.output_tokens)
        has_price = row.currency not in ("", _NO_CURRENCY)
        cost = f"{row.cost_micros / 1e6:.6f} {row.currency}" if has_price else ""
        table.add_row(row.date, row.tenant, row.model, *map(str, counts), cost)
    return table
