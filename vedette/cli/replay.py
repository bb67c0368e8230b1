"""The text of an earlier request under another policy, when the caller supplies it again.

Nothing keeps texts, so nothing but the caller can bring one back. It is judged by the guard's own
command in a process of its own: what a policy would do must not depend on, nor disturb, a service.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vedette.cli.alone import guard_command
from vedette.cli.terminal import EXIT_CALL_FAILED, fail

if TYPE_CHECKING:
    from vedette.gateway.v1 import gateway_pb2 as pb

__all__ = ["is_text_of", "judged"]

_USER: Final = 2


def is_text_of(decided: pb.Decision, text: str) -> bool:
    """Whether the request had one message, of the user, with exactly this text."""
    data = text.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(f"{_USER}:{len(data)}:".encode() + data).hexdigest()
    return digest == decided.prompt_sha256


def judged(text: str, policy: str) -> dict[str, Any]:
    """What a policy makes of a prompt: its action, findings, and every detector's score.

    Args:
        text: what a user says.
        policy: the name of a policy, or the path of a policy file.
    """
    with tempfile.TemporaryDirectory() as cases, tempfile.TemporaryDirectory() as scratch:
        case = Path(cases, "case.jsonl")
        case.write_text(json.dumps({"text": text, "direction": "input", "role": "user"}) + "\n")
        command = guard_command(str(case), policy, Path(scratch))
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode not in (0, 1) or not done.stdout:
        fail(done.stderr.strip() or "The guard could not judge it.", code=EXIT_CALL_FAILED)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
