"""`vedette decision`: what was decided about an earlier request, in the order of time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer
from rich.table import Table
from rich.text import Text

from vedette import FinishReason
from vedette.cli.connection import CaFile, CertFile, CertKeyFile, KeyFile, Target, gateway
from vedette.cli.replay import is_text_of, judged
from vedette.cli.reports import DEADLINE_S, AsJson, as_json_text, ask
from vedette.cli.terminal import err, fail, out
from vedette.cli.trace.sources import Folder, find, recent
from vedette.cli.waterfall import milliseconds
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.traces.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.duration_pb2 import Duration

__all__ = ["decision"]

_REQUEST_PREFIX: Final = "req-"
# The steps in which detectors take part, and what they read there.
_GUARDED: Final[Mapping[str, int]] = {
    "guard_input": pb.DIRECTION_INPUT,
    "guard_output": pb.DIRECTION_OUTPUT,
}
_CACHES: Final = {"cache": "answers", "verdict_cache": "verdicts"}
_STYLES: Final = {
    "block": "bold red",
    "blocked": "bold red",
    "redact": "yellow",
    "review": "yellow",
}
_Text: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The same prompt again, for --policy.")
]


def decision(
    request_id: Annotated[
        str, typer.Argument(metavar="ID", help="A request's name, the id of its trace, or `last`.")
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
    as_json: AsJson = False,
) -> None:
    """Explain what was decided about an earlier request, step by step.

    With --text and --policy, also what another policy would have made of the same prompt.

    Examples:
      vedette decision last
      vedette decision last --text prompt.txt --policy ./candidate.yaml
    """
    if (text is None) != (not policy):
        fail("--text and --policy go together.", "Give both, or neither.", code=2)
    if not request_id.startswith(_REQUEST_PREFIX):
        request_id = _request_of(request_id, folder)
    client = gateway(target, key_file, ca_file, cert_file, cert_key_file, deadline_s=DEADLINE_S)
    decided = ask(client, client.decision(request_id))
    replayed = None if text is None else judged(_read(text), policy)
    if as_json:
        found = json.loads(as_json_text(decided))
        out.print_json(json.dumps(found if replayed is None else {**found, "replayed": replayed}))
        return
    out.print(Text(_headline(decided)), soft_wrap=True)
    out.print(Text(_conditions(decided)), soft_wrap=True)
    out.print(timeline(decided))
    if text is not None and replayed is not None:
        _print_replay(replayed, policy, same=is_text_of(decided, _read(text)))
    out.print(f"[dim]its trace: vedette trace show {decided.trace_id}[/]")


def _headline(decided: pb.Decision) -> str:
    ended = (
        decided.time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC") if decided.time.seconds else ""
    )
    reason = _word(FinishReason.Name(decided.finish_reason), "FINISH_REASON_")
    return f"request {decided.request_id} of {decided.tenant}: {reason}" + (ended and f", {ended}")


def _conditions(decided: pb.Decision) -> str:
    """Under what it was decided: policy, model, and the state of caches, breakers and parts."""
    caches = [f"{_CACHES[s.name]} {s.outcome}" for s in decided.steps if s.name in _CACHES]
    breakers = [f"{one.part} {_state(one)}" for one in decided.breakers]
    reduced = [f"{one.part} {one.mode}" for one in decided.degradations]
    lines = {
        "policy": decided.policy_digest[:12] or "none was applied",
        "model": decided.model or "none had answered",
        "caches": ", ".join(caches) or "not asked",
        "breakers": ", ".join(breakers) or "not recorded",
        "reduced": ", ".join(reduced) or "nothing",
    }
    return "\n".join(f"{name:<9} {words}" for name, words in lines.items())


def timeline(decided: pb.Decision) -> Table:
    """The steps as they began; below a check its detectors, below a detector what it found."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("at", "took"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("step", no_wrap=True)
    table.add_column("verdict")
    for step in sorted(decided.steps, key=lambda step: step.offset.ToNanoseconds()):
        outcome = Text(step.outcome, style=_STYLES.get(step.outcome, ""))
        table.add_row(_time(step.offset), _time(step.duration), step.name, outcome)
        direction = _GUARDED.get(step.name)
        if direction is not None:
            for row in _checked(decided, direction):
                table.add_row("", *row)
    if not any(step.name in _GUARDED for step in decided.steps):
        for finding in decided.findings:
            table.add_row("", "", f"{finding.detector}", _found(finding))
    return table


def _checked(decided: pb.Decision, direction: int) -> Iterator[tuple[str, str, Text]]:
    """What each detector came to that read the prompt, or the answer."""
    findings = [finding for finding in decided.findings if finding.direction == direction]
    executions = [each for each in decided.executions if each.direction == direction]
    for execution in executions:
        state = _word(pb.ExecutionState.Name(execution.state), "EXECUTION_STATE_")
        verdict = Text(
            f"{state}, score {execution.score:.2f}", style="" if state == "ran" else "red"
        )
        yield _time(execution.duration), f"  {execution.detector}", verdict
        for finding in findings:
            if finding.detector == execution.detector:
                yield "", "", _found(finding)
    known = {execution.detector for execution in executions}
    for finding in findings:
        if finding.detector not in known:
            yield "", f"  {finding.detector}", _found(finding)


def _found(finding: pb.Finding) -> Text:
    action = _word(pb.Action.Name(finding.action), "ACTION_")
    treatment = (
        _word(pb.Treatment.Name(finding.treatment), "TREATMENT_") if finding.treatment else ""
    )
    is_input = finding.direction == pb.DIRECTION_INPUT
    place = f"message {finding.message_index + 1}" if is_input else "the answer"
    text = Text(f"{finding.category} in {place} at {finding.span.start} to {finding.span.end}: ")
    text.append(treatment or action, style=_STYLES.get(action, ""))
    return text.append(f" ({finding.rule_id}, score {finding.score:.2f})")


def _state(breaker: pb.Breaker) -> str:
    return _word(pb.BreakerState.Name(breaker.state), "BREAKER_STATE_").replace("_", "-")


def _word(name: str, prefix: str) -> str:
    """The name of an enumeration's value as people say it."""
    return name.removeprefix(prefix).lower()


def _time(duration: Duration) -> str:
    return milliseconds(duration.ToNanoseconds())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.", "Name another file.", code=2)
    except UnicodeDecodeError as error:
        fail(f"{path} is not UTF-8 at byte {error.start}.", "Convert it first.", code=2)


def _print_replay(replayed: dict[str, Any], policy: str, *, same: bool) -> None:
    if not same:
        err.print(
            "[yellow]This is not, to the letter, the prompt that was decided on:[/] "
            "it had another text, or more than one message.",
            soft_wrap=True,
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


def _request_of(trace_id: str, folder: Path | None) -> str:
    """The request that a trace shows, `last` the latest that shows one; may end the command."""
    if trace_id == "last":
        shown = (trace.request_id for trace in recent(folder, "", Filter()))
        request_id = next(filter(None, shown), "")
        if not request_id:
            fail("No trace shows a request.", "Start the services with `vedette up` and ask.")
        return request_id
    trace = find(trace_id, folder)
    if not trace.request_id:
        fail(f"The trace {trace.trace_id} names no request.", "It may have been refused at once.")
    return trace.request_id
