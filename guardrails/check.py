"""Checks texts from the command line, in this process: `python -m guardrails check`.

One JSON line a text: `{"action", "text", "findings", "executions"}`, with every detector's score
whether or not it crossed a threshold. Exit code 0 if nothing was blocked, 1 if something was, 2
if the call makes no sense.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .checking import Checker
from .classifier import ModelError, classifier
from .detectors import builtin
from .findings import Action, Direction, Role
from .policy import PolicyError, PolicyStore
from .surroundings import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .checking import CheckedText
    from .policy.compiled import CompiledPolicy

__all__ = ["main"]

EXIT_BLOCKED = 1
EXIT_USAGE = 2


class _UsageError(Exception):
    """The call makes no sense; the text says how to correct it."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except (_UsageError, PolicyError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
        return EXIT_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m guardrails check", description=__doc__)
    parser.add_argument("file", nargs="?", help="text to check; standard input without one")
    parser.add_argument("--jsonl", help='lines of {"text", "role"?, "direction"?} to check')
    parser.add_argument("--out", help="where to write the lines; standard output without it")
    parser.add_argument("--policy", default="default", help="policy to apply")
    parser.add_argument("--policies-dir", type=Path, help="folder of policy files")
    parser.add_argument("--role", choices=[role.value for role in Role], default=None)
    parser.add_argument(
        "--direction", choices=[direction.value for direction in Direction], default="input"
    )
    return parser


async def _run(options: argparse.Namespace) -> int:
    policy = _policy(options)
    rows = list(_rows(options))
    model = classifier()
    with suppress(ModelError):  # what it leaves unchecked is in every line's executions
        await model.load()
    checker, blocked, chars = Checker(judges=model.judges), False, 0
    with ExitStack() as stack:
        out = stack.enter_context(_opened(options.out, "w")) if options.out else sys.stdout
        progress = stack.enter_context(_progress(len(rows)))
        task = progress.add_task("checking", total=len(rows), speed="")
        for direction, text in rows:
            checked = await checker.check(policy, text, direction=direction)
            out.write(json.dumps(_line(checked), ensure_ascii=False) + "\n")
            blocked = blocked or checked.action is Action.BLOCK
            chars += len(text.text)
            elapsed_s = progress.tasks[task].elapsed or 0.0
            speed = f"{chars / elapsed_s / 1e6:.1f} MB/s" if elapsed_s else ""
            progress.update(task, advance=1, speed=speed)
    return EXIT_BLOCKED if blocked else 0


def _policy(options: argparse.Namespace) -> CompiledPolicy:
    store = PolicyStore(
        folder=options.policies_dir,
        default_name=options.policy,
        detectors={detector.name: detector for detector in builtin()},
    )
    return store.default


def _rows(options: argparse.Namespace) -> Iterable[tuple[Direction, Text]]:
    if options.jsonl is None:
        with _opened(options.file, "r") if options.file else sys.stdin as file:
            yield _row({"text": file.read()}, options)
        return
    with _opened(options.jsonl, "r") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield _row(json.loads(line), options)
                except (ValueError, TypeError, KeyError) as error:
                    raise _UsageError(
                        f"{options.jsonl}, line {number}: must be an object with a string `text`, "
                        "and with `role` and `direction` from the contract if it has them"
                    ) from error


def _row(row: dict[str, Any], options: argparse.Namespace) -> tuple[Direction, Text]:
    direction = Direction(row.get("direction") or options.direction)
    usual = Role.USER if direction is Direction.INPUT else Role.ASSISTANT
    text = row["text"]
    if not isinstance(text, str):
        raise TypeError
    return direction, Text(role=Role(row.get("role") or options.role or usual), text=text)


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
            for execution in checked.executions
        ],
    }


def _opened(path: str, mode: str) -> IO[str]:
    try:
        return Path(path).open(mode, encoding="utf-8", errors="surrogatepass")
    except OSError as error:
        raise _UsageError(f"{path}: {error.strerror}") from error


def _progress(rows: int) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[speed]}"),
        console=Console(stderr=True),
        disable=rows < 2,
    )
