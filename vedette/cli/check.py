"""`vedette check`: texts and corpora through the guard."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import grpc
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vedette import probe
from vedette.cli.alone import guard_command, is_file
from vedette.cli.terminal import EXIT_CALL_FAILED, EXIT_NO, err, fail
from vedette.corpus import Case, CaseError, cases_of_jsonl, check_all
from vedette.counting import counted
from vedette.services import GUARDRAILS

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import TextIO

__all__ = ["check"]

_PROBE_S: Final = 1.0
_EXIT_USAGE: Final = 2

_Jsonl: TypeAlias = Annotated[
    str, typer.Option("--jsonl", metavar="IN", help="A file of cases, one JSON object a line.")
]
_Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", metavar="OUT", help="Where the answers go.")
]


def check(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="A file with one text; `-` reads it.")
    ] = "-",
    *,
    jsonl: _Jsonl = "",
    out: _Out = None,
    policy: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="The policy; the service's default if not given."),
    ] = "",
    role: Annotated[
        Literal["user", "system", "assistant", "tool", "document"],
        typer.Option(help="Who speaks in FILE."),
    ] = "user",
    target: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="The guardrails service.", show_default="that of `vedette up`"
        ),
    ] = "",
) -> None:
    """Check texts; one JSON line each: action, text, findings, and every detector's score.

    A case of --jsonl is {"text": ...} with an optional "role" (user, document, ...) and
    "direction" (input, output). Goes through the running service; when none runs, or the policy
    is a file, checks in a process of its own.
    Exit code 1 if something was blocked, 3 if something could not be checked.

    Examples:
      vedette check prompt.txt
      vedette check --role document < page.txt
      vedette check prompt.txt --policy ./candidate.yaml
      vedette check --jsonl corpus.jsonl --out verdicts.jsonl
    """
    cases = _cases(source, jsonl, role)
    blocked, failed = asyncio.run(_run(cases, out, policy, target))
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
    lines = text.split("\n") if jsonl else [json.dumps({"text": text, "role": role})]
    try:
        cases = cases_of_jsonl(lines)
    except CaseError as error:
        fail(f"{path}: {error}.", "Nothing was checked.", code=2)
    if not text.strip():
        fail(f"There is no text in {path}.", "Name another file, or pipe one in.", code=2)
    return cases


def _read(path: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.", "Name another file.", code=2)
    except UnicodeDecodeError as error:
        fail(f"{path} is not UTF-8 at byte {error.start}.", "Convert it first.", code=2)


async def _run(cases: list[Case], out: Path | None, policy: str, target: str) -> tuple[int, int]:
    address = await _service(target, policy)
    with _opened(out) as file:
        if address is None:
            return _check_alone(cases, file, policy), 0
        return await _check_through(address, cases, file, policy)


async def _check_through(
    address: str, cases: list[Case], file: TextIO, policy: str
) -> tuple[int, int]:
    """Ask a service; how many it blocked, and how many it could not check."""
    blocked, failed, began_s = 0, 0, time.monotonic()
    async with grpc.aio.insecure_channel(address) as channel:
        with _progress() as progress:
            task = progress.add_task("checking", total=len(cases))
            async for outcome in check_all(channel, cases, policy=policy):
                file.write(json.dumps(outcome.record) + "\n")
                blocked += outcome.blocked
                failed += outcome.failed
                progress.advance(task)
    took_s = time.monotonic() - began_s
    chars = sum(len(case.text) for case in cases)
    err.print(
        f"[dim]{counted(len(cases), 'text')}, {blocked} blocked, {took_s:.1f} s: "
        f"{len(cases) / took_s:.0f} texts/s, {chars / took_s:,.0f} characters/s[/]"
    )
    return blocked, failed


def _check_alone(cases: list[Case], file: TextIO, policy: str) -> int:
    """Run the guard's own command, which prints the same lines; whether it blocked anything."""
    with tempfile.TemporaryFile() as lines, tempfile.TemporaryDirectory() as scratch:
        lines.writelines(json.dumps(asdict(case)).encode() + b"\n" for case in cases)
        lines.seek(0)
        with subprocess.Popen(  # noqa: S603 - our own program
            guard_command("-", policy, Path(scratch)),
            stdin=lines,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONIOENCODING": "utf-8:surrogatepass"},
        ) as guard:
            checked = 0
            for line in guard.stdout or ():
                file.write(line.decode(errors="surrogatepass"))
                checked += 1
    if guard.returncode == _EXIT_USAGE:
        raise typer.Exit(_EXIT_USAGE)
    if checked < len(cases):
        fail("The guard stopped midway.", "What it printed says why.", code=EXIT_CALL_FAILED)
    return guard.returncode


async def _service(target: str, policy: str) -> str | None:
    """The address of a running service: the one named or the usual one; None to do without."""
    if is_file(policy):
        if target:
            fail("--target has policies of its own.", "Leave out one of the two.", code=2)
        return None
    address = target or GUARDRAILS.address()
    if await probe.status(address, GUARDRAILS.grpc_name, deadline_s=_PROBE_S) == "SERVING":
        return address
    if target:
        fail(f"No guardrails serve at {target}.", "Leave out --target to check without a service.",
             code=EXIT_CALL_FAILED)  # fmt: skip
    err.print(f"[dim]nothing serves at {address}; checking in a process of its own[/]")
    return None


def _opened(out: Path | None) -> AbstractContextManager[TextIO]:
    if out is None:
        return nullcontext(sys.stdout)
    try:
        return out.open("w", encoding="utf-8")
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}.", "Name another file.", code=2)


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
