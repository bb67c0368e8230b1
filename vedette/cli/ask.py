"""`vedette ask`: one question, answered while you watch."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict

from vedette import (
    Action,
    DeadlineExceededError,
    Delta,
    Direction,
    Final,
    Finding,
    FinishReason,
    Treatment,
    VedetteError,
)
from vedette.cli.connection import CaFile, CertFile, CertKeyFile, KeyFile, Target, gateway
from vedette.cli.terminal import (
    EXIT_CALL_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NO,
    err,
    fail,
    fail_call,
    out,
    read_text,
    shown,
)
from vedette.counting import counted
from vedette.prompt import system, user

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette import AnswerStream

__all__ = ["Answer", "ask", "describe", "receive"]


@dataclass(slots=True)
class Answer:
    """What has arrived of one answer."""

    trace_id: str
    text: str = ""
    findings: list[Finding] = field(default_factory=list)
    final: Final = field(default_factory=Final)
    first_text_s: float | None = None
    seconds: float = 0.0

    @property
    def blocked(self) -> bool:
        """Whether a guard blocked the prompt or the rest of the answer."""
        return self.final.finish_reason == FinishReason.FINISH_REASON_BLOCKED


def _within(least: int, most: int) -> Callable[[int | None], int | None]:
    """A check that the contract's field can hold a number; the library's own shows its limits."""

    def check(value: int | None) -> int | None:
        if value is not None and not least <= value <= most:
            raise typer.BadParameter(f"{value} is not from {least} to {most}.")
        return value

    return check


def ask(
    words: Annotated[
        str, typer.Argument(metavar="TEXT", help="The question; `-` reads standard input.")
    ],
    *,
    system_text: Annotated[str, typer.Option("--system", help="Instructions to the model.")] = "",
    policy: Annotated[
        str, typer.Option(metavar="NAME", help="The policy; the tenant's own if not given.")
    ] = "",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model; the first one if not given.")
    ] = "",
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N", callback=_within(1, 2**31 - 1), help="The longest answer, in tokens."
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="From 0, which is greedy, to 2.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(callback=_within(-(2**63), 2**63 - 1), help="Makes sampling repeatable."),
    ] = None,
    deadline_s: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", min=0.1, help="For all of it.")
    ] = 120.0,
    target: Target = "",
    key_file: KeyFile = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    cert_key_file: CertKeyFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask a question and watch the answer arrive; exit code 1 if a guard blocks it.

    The answer goes to standard output, everything else to standard error.

    Examples:
      vedette ask "Why is the sky blue?"
      vedette ask "Name three colours." --json | jq .text
      vedette ask - --system "Answer in one sentence." < question.txt
    """
    calls = gateway(target, key_file, ca_file, cert_file, cert_key_file, deadline_s=deadline_s)
    messages = [system(system_text)] if system_text else []
    messages.append(user(read_text(words)))
    sampling = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}

    async def run() -> Answer:
        async with calls as client:
            given: Any = {key: value for key, value in sampling.items() if value is not None}
            stream = client.stream(messages, policy=policy, model=model, **given)
            try:
                return await receive(stream, show=not as_json)
            except asyncio.CancelledError:
                err.print("[dim]interrupted[/]")
                _look_at(stream.trace_id)
                raise

    try:
        answer = asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except DeadlineExceededError as error:
        fail(
            f"The answer was not complete within {deadline_s:g} s.",
            f"Allow more with --deadline. Trace: vedette trace show {error.trace_id}",
            code=EXIT_CALL_FAILED,
        )
    except VedetteError as error:
        fail_call(error, target=calls.target)
    if as_json:
        out.print_json(json.dumps(_as_json(answer)))
    else:
        _print_end(answer)
    if answer.blocked:
        raise typer.Exit(EXIT_NO)


async def receive(stream: AnswerStream, *, show: bool) -> Answer:
    """Read an answer to its end, printing its text as it comes if it is to be shown."""
    answer = Answer(trace_id=stream.trace_id)
    began_s = time.monotonic()
    try:
        async for event in stream:
            answer.seconds = time.monotonic() - began_s
            if isinstance(event, Delta):
                answer.first_text_s = answer.first_text_s or answer.seconds
                answer.text += event.text
                if show:
                    out.print(shown(event.text), end="", markup=False, soft_wrap=True)
            elif isinstance(event, Finding):
                answer.findings.append(event)
            elif isinstance(event, Final):
                answer.final = event
    finally:
        # What is said next, be it an error, begins a line of its own.
        if show and answer.text:
            out.print()
    return answer


def describe(finding: Finding) -> str:
    """One finding in words; a finding never holds the matched text."""
    in_prompt = finding.direction == Direction.DIRECTION_INPUT
    place = f"message {finding.message_index + 1} of the prompt" if in_prompt else "the answer"
    action = (
        Treatment.Name(finding.treatment).removeprefix("TREATMENT_").lower()
        if finding.treatment
        else Action.Name(finding.action).removeprefix("ACTION_").lower()
    )
    return (
        f"{finding.category} in {place} at {finding.span.start} to {finding.span.end}: {action} "
        f"({finding.detector}, {finding.rule_id}, score {finding.score:.2f})"
    )


def _print_end(answer: Answer) -> None:
    for finding in answer.findings:
        err.print(f"[yellow]finding[/] {describe(finding)}", soft_wrap=True)
    final = answer.final
    for degradation in final.degradations:
        err.print(f"[yellow]reduced[/] {degradation.part}: {degradation.mode}", soft_wrap=True)
    reason = FinishReason.Name(final.finish_reason).removeprefix("FINISH_REASON_").lower()
    first = f", first text after {answer.first_text_s:.2f} s" if answer.first_text_s else ""
    err.print(
        f"[dim]{reason}; {counted(final.usage.input_tokens, 'token')} in, "
        f"{final.usage.output_tokens:,} out, {answer.seconds:.2f} s{first}[/]",
        soft_wrap=True,
    )
    _look_at(answer.trace_id)


def _look_at(trace_id: str) -> None:
    err.print(f"[dim]look at it: vedette trace show {trace_id}[/]", soft_wrap=True)


def _as_json(answer: Answer) -> dict[str, Any]:
    final = MessageToDict(
        answer.final, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    findings = [
        MessageToDict(
            finding, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        for finding in answer.findings
    ]
    return {"text": answer.text, **final, "trace_id": answer.trace_id, "findings": findings}
