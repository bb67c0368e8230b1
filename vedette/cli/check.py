"""`vedette check`: texts and corpora through the guard."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import grpc
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vedette import probe
from vedette.cli.terminal import EXIT_CALL_FAILED, EXIT_NO, err, fail
from vedette.cli.up import report_failure
from vedette.corpus import Case, CaseError, cases_of_jsonl, check_all
from vedette.services import GUARDRAILS, embedded, free_ports
from vedette.supervisor import ServiceFailedError, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager
    from typing import TextIO

    from vedette.services import ServiceProcess

__all__ = ["check"]

_PROBE_S = 1.0
_READY_TIMEOUT_S = 120.0

_Jsonl: TypeAlias = Annotated[
    str, typer.Option("--jsonl", metavar="IN", help="A file of cases, one JSON object a line.")
]
_Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", metavar="OUT", help="Where the answers go.")
]


def check(
    source: Annotated[
        str, typer.Argument(metavar="[FILE]", help="A file with one text; `-` reads it.")
    ] = "-",
    *,
    jsonl: _Jsonl = "",
    out: _Out = None,
    policy: Annotated[str, typer.Option(help="The policy; empty for the default.")] = "",
    role: Annotated[str, typer.Option(help="Who speaks in FILE, for example document.")] = "user",
    target: Annotated[str, typer.Option(help="The guardrails service.", show_default=False)] = "",
) -> None:
    """Check texts; one JSON line each: action, text, findings, and every detector's score.

    A case of --jsonl is {"text": ...} with an optional "role" (user, document, ...) and
    "direction" (input, output). Goes through the running service, or starts one for the time
    being. Exit code 1 if something was blocked, 3 if something could not be checked.
    """
    cases = _cases(source, jsonl, role)
    try:
        blocked, failed = asyncio.run(_run(cases, out, policy, target))
    except ServiceFailedError as error:
        report_failure(error)
        raise typer.Exit(EXIT_CALL_FAILED) from None
    if failed:
        fail(
            f"{failed} of {len(cases)} could not be checked.",
            "Their lines say why, under `error`.",
            code=EXIT_CALL_FAILED,
        )
    if blocked:
        raise typer.Exit(EXIT_NO)


def _cases(source: str, jsonl: str, role: str) -> list[Case]:
    path = jsonl or source
    text = _read(path)
    lines = text.splitlines() if jsonl else [json.dumps({"text": text, "role": role})]
    try:
        cases = cases_of_jsonl(lines)
    except CaseError as error:
        fail(f"{'--role' if not jsonl else path}: {error}.", "Nothing was checked.", code=2)
    if not text.strip():
        fail(f"There is no text in {path}.", code=2)
    return cases


def _read(path: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.", code=2)
    except UnicodeDecodeError as error:
        fail(f"{path} is not UTF-8 at byte {error.start}.", "Convert it first.", code=2)


async def _run(cases: list[Case], out: Path | None, policy: str, target: str) -> tuple[int, int]:
    blocked = failed = 0
    async with _service(target) as address, grpc.aio.insecure_channel(address) as channel:
        began_s = time.monotonic()
        with _opened(out) as file, _progress() as progress:
            task = progress.add_task("checking", total=len(cases))
            async for outcome in check_all(channel, cases, policy=policy):
                file.write(json.dumps(outcome.record, ensure_ascii=False) + "\n")
                blocked += outcome.blocked
                failed += outcome.failed
                progress.advance(task)
    took_s = time.monotonic() - began_s
    chars = sum(len(case.text) for case in cases)
    err.print(
        f"[dim]{len(cases)} texts, {blocked} blocked, {took_s:.1f} s: "
        f"{len(cases) / took_s:.0f} texts/s, {chars / took_s / 1000:.0f} thousand characters/s[/]"
    )
    return blocked, failed


@asynccontextmanager
async def _service(target: str) -> AsyncIterator[str]:
    """The address of a running service: the one named, the usual one, or one started for this."""
    address = target or GUARDRAILS.address()
    if await probe.status(address, GUARDRAILS.grpc_name, deadline_s=_PROBE_S) == "SERVING":
        yield address
        return
    if target:
        fail(f"No guardrails serve at {target}.", "Leave out --target to start one for this.",
             code=EXIT_CALL_FAILED)  # fmt: skip
    err.print(f"[dim]nothing serves at {address}; starting guardrails for this[/]")
    process = _without_traces()
    async with Supervisor([process], audience=_Silent(), ready_timeout_s=_READY_TIMEOUT_S):
        yield process.target


def _without_traces() -> ServiceProcess:
    """Guardrails on a free port; a corpus would push everything else out of the trace files."""
    [process] = [one for one in embedded(free_ports()) if one.name == GUARDRAILS.name]
    untraced = {**process.environ, GUARDRAILS.variable("TRACE_DIR"): "none"}
    return replace(process, environ=untraced)


def _opened(out: Path | None) -> AbstractContextManager[TextIO]:
    if out is None:
        return nullcontext(sys.stdout)
    try:
        return out.open("w", encoding="utf-8")
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}.", code=2)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


class _Silent:
    """Hears and says nothing; if the service fails, its last lines are in the error."""

    def starting(self, name: str) -> None: ...
    def ready(self, name: str, after_s: float) -> None: ...
    def line(self, name: str, text: str) -> None: ...
    def stopping(self, name: str) -> None: ...
