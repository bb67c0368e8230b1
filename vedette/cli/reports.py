"""`vedette usage` and `vedette decision`: what the gateway kept about earlier requests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table
from rich.text import Text

from vedette import FinishReason, VedetteError
from vedette.cli.ask import describe
from vedette.cli.connection import CaFile, CertFile, CertKeyFile, KeyFile, Target, gateway
from vedette.cli.replay import is_text_of, judged
from vedette.cli.terminal import err, fail, fail_call, out
from vedette.cli.trace.sources import Folder, find
from vedette.cli.waterfall import milliseconds
from vedette.gateway.v1 import gateway_pb2
from vedette.traces import names

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message

    from vedette import Client
    from vedette.gateway.v1 import gateway_pb2 as pb
    from vedette.traces import Trace

__all__ = ["decision", "usage"]

_Answer = TypeVar("_Answer")
_REQUEST_PREFIX: Final = "req-"
_DEADLINE_S: Final = 30.0
_AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Text: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The same prompt again, for --policy.")
]


def usage(
    *,
    start: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day, UTC.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day, UTC.")] = "",
    model: Annotated[str, typer.Option(help="Only this model.")] = "",
    target: Target = "",
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    as_json: _AsJson = False,
) -> None:
    """Show what the caller's tenant has consumed, by day and model; days are YYYY-MM-DD."""
    client = gateway(target, key_file, ca_file, cert_file, cert_key_file, deadline_s=_DEADLINE_S)
    answer = _ask(client, client.usage(start_date=start, end_date=end, model=model))
    if as_json:
        out.print_json(_json(answer))
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


def decision(
    request_id: Annotated[
        str, typer.Argument(help="A request's name, the id of its trace, or `last`.")
    ],
    *,
    folder: Folder = None,
    text: _Text = None,
    policy: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="With --text: the policy to try it under.")
    ] = "",
    target: Target = "",
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    as_json: _AsJson = False,
) -> None:
    """Explain what was decided about an earlier request: steps, findings, detectors.

    With --text and --policy, also what another policy would have made of the same prompt.
    """
    if (text is None) != (not policy):
        fail("--text and --policy go together.", "Give both, or neither.", code=2)
    if not request_id.startswith(_REQUEST_PREFIX):
        request_id = _request_of(find(request_id, folder))
    client = gateway(target, key_file, ca_file, cert_file, cert_key_file, deadline_s=_DEADLINE_S)
    decided = _ask(client, client.decision(request_id))
    replayed = None if text is None else judged(_read(text), policy)
    if as_json:
        found = json.loads(_json(decided))
        out.print_json(json.dumps(found if replayed is None else {**found, "replayed": replayed}))
        return
    reason = FinishReason.Name(decided.finish_reason).removeprefix("FINISH_REASON_").lower()
    out.print(Text(f"request {decided.request_id} of {decided.tenant}: {reason}"))
    out.print(Text(f"policy {decided.policy_digest[:12]}, model {decided.model}"))
    for finding in decided.findings:
        out.print(Text(f"finding {describe(finding)}"), soft_wrap=True)
    for degradation in decided.degradations:
        out.print(Text(f"reduced {degradation.part}: {degradation.mode}"))
    out.print(_steps(decided))
    out.print(_executions(decided))
    if text is not None and replayed is not None:
        _print_replay(replayed, policy, same=is_text_of(decided, _read(text)))
    out.print(f"[dim]its trace: vedette trace show {decided.trace_id}[/]")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read as text: {type(error).__name__}.", code=2)


def _print_replay(replayed: dict[str, Any], policy: str, *, same: bool) -> None:
    if not same:
        err.print(
            "[yellow]This is not, to the letter, the prompt that was decided on:[/] "
            "it had another text, or more than one message."
        )
    out.print(Text(f"\nunder {policy}: {replayed['action']}"))
    for finding in replayed["findings"]:
        words = (
            f"finding {finding['category']} at {finding['start']} to {finding['end']}: "
            f"{finding['action']} ({finding['detector']}, {finding['rule_id']}, "
            f"score {finding['score']:.2f})"
        )
        out.print(Text(words), soft_wrap=True)
    for execution in replayed["executions"]:
        score = f"{execution['score']:.2f}"
        out.print(Text(f"detector {execution['detector']}: {execution['state']}, {score}"))


def _executions(decided: pb.Decision) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("detector", "of the", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("score", "busy"):
        table.add_column(title, justify="right", no_wrap=True)
    for execution in decided.executions:
        state = gateway_pb2.ExecutionState.Name(execution.state).removeprefix("EXECUTION_STATE_")
        direction = gateway_pb2.Direction.Name(execution.direction).removeprefix("DIRECTION_")
        table.add_row(
            execution.detector,
            {"INPUT": "prompt", "OUTPUT": "answer"}.get(direction, ""),
            state.lower(),
            f"{execution.score:.2f}",
            _time(execution.duration),
        )
    return table


def _request_of(trace: Trace) -> str:
    """The request that a trace shows; ends the command if it does not say."""
    request_id = str(trace.root.attributes.get(names.REQUEST_ID, ""))
    if not request_id:
        fail(f"The trace {trace.trace_id} names no request.", "It may have been refused at once.")
    return request_id


def _ask(client: Client, call: Awaitable[_Answer]) -> _Answer:
    async def run() -> _Answer:
        async with client:
            return await call

    try:
        return asyncio.run(run())
    except VedetteError as error:
        fail_call(error, target=client.target)


def _json(message: Message) -> str:
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
        cost = f"{row.cost_micros / 1e6:.6f} {row.currency}" if row.currency else ""
        table.add_row(row.date, row.tenant, row.model, *map(str, counts), cost)
    return table


def _steps(decided: pb.Decision) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("step", no_wrap=True)
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for step in decided.steps:
        table.add_row(step.name, _time(step.offset), _time(step.duration), step.outcome)
    return table


def _time(duration: Duration) -> str:
    return milliseconds(duration.ToNanoseconds())
