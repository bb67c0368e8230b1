"""The guard's own command in a process of its own: where no service runs, or none may notice."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from vedette.cli.terminal import EXIT_CALL_FAILED, fail

__all__ = ["guard_command", "is_file"]


def is_file(policy: str) -> bool:
    """Whether a policy is named by its file."""
    return Path(policy).suffix in (".yaml", ".yml")


def guard_command(jsonl: str, policy: str, scratch: Path) -> list[str]:
    """What to run; ends this command if it cannot be.

    Args:
        jsonl: the file of cases; `-` is its standard input.
        policy: the name of a policy, or the path of its file; empty for the default.
        scratch: an empty folder that lives as long as the process.
    """
    if find_spec("guardrails") is None or find_spec("hyperscan") is None:
        fail(
            "The guard is not installed here, and a service was not asked.",
            "Install vedette[guardrails], start one with `vedette up`, or name one with --target.",
            code=EXIT_CALL_FAILED,
        )
    # -P: a folder of that name where the command is run is not our service.
    command = [sys.executable, "-P", "-m", "guardrails", "check", "--jsonl", jsonl]
    return command + _policy(policy, scratch)


def _policy(policy: str, scratch: Path) -> list[str]:
    if is_file(policy):
        path = Path(policy)
        try:
            shutil.copyfile(path, scratch / f"{path.stem}.yaml")
        except OSError as error:
            fail(f"{policy} cannot be read: {error.strerror}.", "Name another file.", code=2)
        return ["--policy", path.stem, "--policies-dir", str(scratch)]
    return ["--policy", policy] if policy else []
