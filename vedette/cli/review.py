"""`vedette review`: the cases that wait for a person, and what is decided about them."""

from __future__ import annotations

import asyncio
import getpass
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table
from rich.text import Text

from vedette.cli.connection import credentials
from vedette.cli.terminal import err, fail, fail_call, out, shown
from vedette.cli.verbs import Group, Verb
from vedette.counting import counted
from vedette.errors import VedetteError
from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.reviews import Reviews, labelled
from vedette.services import GUARDRAILS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["app"]

_Answer = TypeVar("_Answer")

app = typer.Typer(
    name="review", cls=Group, no_args_is_help=True, help="The cases that wait for a person."
)

_Target: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="The guardrails service.", show_default="that of `vedette up`"
    ),
]
_Tenant: TypeAlias = Annotated[str, typer.Option(metavar="NAME", help="Whose cases.")]
_Ca: TypeAlias = Annotated[
    Path | None,
    typer.Option("--ca-file", metavar="FILE", help="Speak TLS, and trust this authority (PEM)."),
]
_Cert: TypeAlias = Annotated[
    Path | None, typer.Option("--cert-file", metavar="FILE", help="Your certificate (PEM).")
]
_Key: TypeAlias = Annotated[
    Path | None, typer.Option("--cert-key-file", metavar="FILE", help="Its key (PEM).")
]
_AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The case.")]

# The gateway's tenant where it has no access file.
_LOCAL = "local"
_STATES = {
    "pending": pb.REVIEW_STATE_PENDING,
    "accepted": pb.REVIEW_STATE_ACCEPTED,
    "rejected": pb.REVIEW_STATE_REJECTED,
    "all": pb.REVIEW_STATE_UNSPECIFIED,
}
_VERDICTS = {"accept": pb.REVIEW_STATE_ACCEPTED, "reject": pb.REVIEW_STATE_REJECTED}


@app.command("ls", cls=Verb)
def ls(
    *,
    state: Annotated[
        Literal["pending", "accepted", "rejected", "all"], typer.Option(help="How they stand.")
    ] = "pending",
    tenant: _Tenant = _LOCAL,
    target: _Target = "",
    ca_file: _Ca = None,
    cert_file: _Cert = None,
    cert_key_file: _Key = None,
    as_json: _AsJson = False,
) -> None:
    """List cases, oldest first; pending ones unless --state says otherwise.

    Examples:
      vedette review ls
      vedette review ls --state all --json
    """
    pages = _ask(
        target,
        tenant,
        (ca_file, cert_file, cert_key_file),
        lambda client: _all(client, _STATES[state]),
    )
    cases = [case for page in pages for case in page.reviews]
    if as_json:
        out.print_json(json.dumps([_as_dict(case) for case in cases]))
    elif cases:
        out.print(_table(cases))
    else:
        err.print("There are no such cases.")
    if pages[-1].evicted:
        err.print(f"[yellow]{counted(pages[-1].evicted, 'case')} went early, for lack of room.[/]")


@app.command("show", cls=Verb)
def show(
    review_id: _Id,
    *,
    tenant: _Tenant = _LOCAL,
    target: _Target = "",
    ca_file: _Ca = None,
    cert_file: _Cert = None,
    cert_key_file: _Key = None,
    as_json: _AsJson = False,
) -> None:
    """Show one case: what was found where, and the text if the policy keeps it.

    Example:
      vedette review show rev-01a1fe261255-5cee08384862e6ff
    """
    case = _ask(
        target, tenant, (ca_file, cert_file, cert_key_file), lambda client: client.case(review_id)
    )
    if case is None:
        fail(f"{tenant} has no case {review_id}.", "Its time may be over; see `vedette review ls`.")
    if as_json:
        out.print_json(json.dumps(_as_dict(case)))
        return
    out.print(Text(f"{case.review_id}  {_state(case)}  {_role(case)}, {_direction(case)}"))
    out.print(Text(f"created {_time(case.created)}, expires {_time(case.expires)}"))
    if case.request_id:
        out.print(Text(f"request {case.request_id}; see `vedette decision {case.request_id}`"))
    out.print(Text(f"policy {case.policy_digest[:12]}, text {case.text_sha256[:12]}"))
    for finding in case.findings:
        where = f"{finding.span.start} to {finding.span.end}"
        out.print(
            Text(
                f"finding {finding.category} at {where}: {_treatment(finding)} "
                f"({finding.detector}, {finding.rule_id}, score {finding.score:.2f})"
            ),
            soft_wrap=True,
        )
    if case.resolved_by:
        out.print(Text(f"{_state(case)} by {case.resolved_by} at {_time(case.resolved)}"))
    if case.HasField("text"):
        out.print()
        out.print(_marked(case), soft_wrap=True)
    else:
        out.print("[dim]the policy keeps no text[/]")


@app.command("resolve", cls=Verb)
def resolve(
    review_id: _Id,
    verdict: Annotated[
        Literal["accept", "reject"],
        typer.Argument(
            metavar="VERDICT", help="accept: the text is fine; reject: the guard was right."
        ),
    ],
    *,
    by: Annotated[
        str, typer.Option(metavar="NAME", help="Who decides.", show_default="your login")
    ] = "",
    tenant: _Tenant = _LOCAL,
    target: _Target = "",
    ca_file: _Ca = None,
    cert_file: _Cert = None,
    cert_key_file: _Key = None,
) -> None:
    """Decide a case, once.

    Example:
      vedette review resolve rev-01a1fe261255-5cee08384862e6ff reject --by ann@example.org
    """
    case = _ask(
        target,
        tenant,
        (ca_file, cert_file, cert_key_file),
        lambda client: client.resolve(review_id, _VERDICTS[verdict], by=by or getpass.getuser()),
    )
    out.print(Text(f"{case.review_id} is {_state(case)} by {case.resolved_by}"))


@app.command("export", cls=Verb)
def export(
    file: Annotated[Path, typer.Argument(metavar="OUT", help="A new file of JSON lines.")],
    *,
    tenant: _Tenant = _LOCAL,
    target: _Target = "",
    ca_file: _Ca = None,
    cert_file: _Cert = None,
    cert_key_file: _Key = None,
) -> None:
    """Write the decided cases as labelled texts, which training and `scripts/bench guard` read.

    Only cases whose text was kept can be written; the label is 1 where the guard was right.

    Example:
      vedette review export reviews.jsonl
    """
    pages = _ask(target, tenant, (ca_file, cert_file, cert_key_file), _all)
    decided = [case for page in pages for case in page.reviews if case.resolved_by]
    rows = [row for case in decided if (row := labelled(case)) is not None]
    try:
        with file.open("x", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}.", "Name a new file.", code=2)
    without = len(decided) - len(rows)
    err.print(f"{counted(len(rows), 'text')} written; {without} decided without their text.")


async def _all(
    client: Reviews, state: pb.ReviewState.ValueType = pb.REVIEW_STATE_UNSPECIFIED
) -> list[pb.ListReviewsResponse]:
    return [page async for page in client.pages(state)]


def _ask(
    target: str,
    tenant: str,
    files: tuple[Path | None, Path | None, Path | None],
    call: Callable[[Reviews], Awaitable[_Answer]],
) -> _Answer:
    target = target or GUARDRAILS.address()
    tls = credentials(*files)

    async def run() -> _Answer:
        async with Reviews(target, tenant=tenant, tls=tls) as client:
            return await call(client)

    try:
        return asyncio.run(run())
    except VedetteError as error:
        fail_call(error, target=target)


def _table(cases: list[pb.Review]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    # The name is what the other verbs want: it is never cut.
    table.add_column("case", no_wrap=True, min_width=max(len(case.review_id) for case in cases))
    for title in ("since", "state", "who", "direction", "found", "score"):
        table.add_column(title, no_wrap=True)
    for case in cases:
        asked = [finding for finding in case.findings if finding.action == pb.ACTION_REVIEW]
        table.add_row(
            case.review_id,
            _time(case.created),
            _state(case),
            _role(case),
            _direction(case),
            ", ".join(sorted({finding.category for finding in asked})),
            f"{max(finding.score for finding in asked):.2f}" if asked else "",
        )
    return table


def _marked(case: pb.Review) -> Text:
    """The text with what was found set off; a person has to see why the guard hesitated."""
    text = Text(shown(case.text))
    for finding in case.findings:
        text.stylize("reverse", finding.span.start, finding.span.end)
    return text


def _as_dict(case: pb.Review) -> dict[str, object]:
    fields: dict[str, object] = MessageToDict(case, preserving_proto_field_name=True)
    return fields


def _state(case: pb.Review) -> str:
    return pb.ReviewState.Name(case.state).removeprefix("REVIEW_STATE_").lower()


def _role(case: pb.Review) -> str:
    return pb.Role.Name(case.role).removeprefix("ROLE_").lower()


def _direction(case: pb.Review) -> str:
    return pb.Direction.Name(case.direction).removeprefix("DIRECTION_").lower()


def _treatment(finding: pb.Finding) -> str:
    return pb.Treatment.Name(finding.treatment).removeprefix("TREATMENT_").lower()


def _time(moment: Timestamp) -> str:
    seconds = moment.seconds + moment.nanos / 1e9
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
