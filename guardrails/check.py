"""Checks texts from the command line, in this process: `python -m guardrails check`.

One JSON line a text: `{"action", "text", "findings", "executions"}`, with every detector's score
whether or not it crossed a threshold. Exit code 0 if nothing was blocked, 1 if something was, 2
if the call makes no sense. Reads the settings of the service; `vedette check` runs this where no
service does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import deque
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from servicekit.settings import SettingsError
from vedette.counting import counted

from .classifier import MODEL_FOLDER, ModelError, classifier
from .detectors import builtin
from .findings import Action, Direction, Role
from .pipeline.checking import Checker
from .policy import PolicyError, PolicyStore
from .settings import GuardrailsSettings
from .window.surroundings import Text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from contextlib import AbstractContextManager

    from .classifier import Classifier
    from .pipeline.checking import CheckedText
    from .policy.compiled import CompiledPolicy

__all__ = ["main"]

EXIT_BLOCKED = 1
EXIT_USAGE = 2

# Enough to keep every core busy while the model judges some; the policy's time limits count while
# a text waits for the model, so no more.
_IN_FLIGHT: Final = 2 * (os.cpu_count() or 1)

_Row = tuple[Direction, Text]


class _UsageError(Exception):
    """The call makes no sense; the text says how to correct it."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except (_UsageError, PolicyError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
        return EXIT_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m guardrails check", description=__doc__)
    parser.add_argument("file", nargs="?", default="-", help="text to check; `-` reads it")
    parser.add_argument("--jsonl", help='lines of {"text", "role"?, "direction"?}; `-` reads them')
    parser.add_argument("--out", help="where to write the lines; standard output without it")
    parser.add_argument("--policy", help="policy to apply")
    parser.add_argument("--policies-dir", type=Path, help="folder of policy files")
    parser.add_argument("--role", choices=[role.value for role in Role])
    parser.add_argument("--direction", choices=[direction.value for direction in Direction])
    return parser


async def _run(options: argparse.Namespace) -> int:
    settings = GuardrailsSettings.load()
    model = classifier(settings.classifier_dir or MODEL_FOLDER, workers=os.cpu_count() or 1)
    store = PolicyStore(
        folder=options.policies_dir or settings.policies_dir,
        default_name=options.policy or settings.default_policy,
        detectors={detector.name: detector for detector in (*builtin(), *model.detectors)},
    )
    policy, rows = store.default, list(_rows(options))
    await _load(model, store)
    secret = settings.secret.get_secret_value().encode() if settings.secret else os.urandom(32)
    checker, blocked, began_s = Checker(judges=model.judges, secret=secret), 0, time.monotonic()
    console = Console(stderr=True, highlight=False)
    with ExitStack() as stack:
        out = stack.enter_context(_opened(options.out, "w") if options.out else _kept(sys.stdout))
        progress = stack.enter_context(_progress(console))
        task = progress.add_task("checking", total=len(rows))
        async for checked in _checked(checker, policy, rows):
            out.write(json.dumps(_line(checked)) + "\n")
            blocked += checked.action is Action.BLOCK
            progress.advance(task)
    if options.jsonl is not None:
        took_s = max(time.monotonic() - began_s, 1e-9)
        texts, thousands = len(rows), sum(len(text.text) for _, text in rows) / 1000
        console.print(
            f"[dim]{counted(texts, 'text')}, {blocked} blocked, {took_s:.1f} s: "
            f"{texts / took_s:.0f} texts/s, {thousands / took_s:.0f} thousand characters/s[/]"
        )
    return EXIT_BLOCKED if blocked else 0


async def _load(model: Classifier, store: PolicyStore) -> None:
    """Load all that judges; what is unusable is said, and then left to the policy."""
    with suppress(ModelError):  # what it leaves unchecked is in every line's executions
        await model.load()
    for place, error in (await store.shelf.load()).items():
        if error is not None:
            print(f"warning: {place}: {error}", file=sys.stderr)  # noqa: T201 - to its user


async def _checked(
    checker: Checker, policy: CompiledPolicy, rows: Sequence[_Row]
) -> AsyncIterator[CheckedText]:
    """Check the texts, several at a time, so that no core waits; in their order."""
    running: deque[asyncio.Task[CheckedText]] = deque()
    for direction, text in rows:
        running.append(asyncio.create_task(checker.check(policy, text, direction=direction)))
        if len(running) >= _IN_FLIGHT:
            yield await running.popleft()
    while running:
        yield await running.popleft()


def _rows(options: argparse.Namespace) -> Iterator[_Row]:
    path = options.file if options.jsonl is None else options.jsonl
    with _kept(sys.stdin) if path == "-" else _opened(path, "r") as file:
        if options.jsonl is None:
            yield _row({"text": file.read()}, options)
            return
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield _row(json.loads(line), options)
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    raise _UsageError(
                        f"{path}, line {number}: must be an object with a string `text`, "
                        "and with `role` and `direction` from the contract if it has them"
                    ) from error


def _row(row: dict[str, Any], options: argparse.Namespace) -> _Row:
    """What an assistant says goes out and all else in, unless the line says otherwise."""
    role, direction = row.get("role") or options.role, row.get("direction") or options.direction
    if not role:
        role = Role.ASSISTANT if direction == Direction.OUTPUT.value else Role.USER
    if not direction:
        direction = Direction.OUTPUT if Role(role) is Role.ASSISTANT else Direction.INPUT
    text = row["text"]
    if not isinstance(text, str):
        raise TypeError
    return Direction(direction), Text(role=Role(role), text=text)


def _line(checked: CheckedText) -> dict[str, Any]:
    return {
        "action": checked.action.name.lower(),
        "text": checked.text,
        "findings": [
            {
                "detector": finding.detector,
                "category": finding.category,
                "rule_id": finding.rule_id,
                "start": finding.start,
                "end": finding.end,
                "score": finding.score,
                "action": finding.action.name.lower(),
            }
            for finding in checked.findings
        ],
        "executions": [
            {
                "detector": execution.detector,
                "version": execution.version,
                "state": execution.state.name.lower(),
                "score": execution.score,
                "duration_s": execution.busy_s,
            }
            for execution in sorted(checked.executions, key=lambda each: each.detector)
        ],
    }


def _opened(path: str, mode: str) -> IO[str]:
    try:
        return Path(path).open(mode, encoding="utf-8", errors="surrogatepass")
    except OSError as error:
        raise _UsageError(f"{path}: {error.strerror}") from error


def _kept(stream: IO[str]) -> AbstractContextManager[IO[str]]:
    return nullcontext(stream)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
