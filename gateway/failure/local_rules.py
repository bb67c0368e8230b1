"""A few rules of the gateway's own, for when guardrails is down and a tenant prefers them to none.

Covered: private keys, the access keys of some clouds and code hosts, payment card numbers with
separators, and plain commands to ignore earlier instructions, in whole texts.
Not covered: everything that needs a model, a checksum, normalisation or a policy. A match blocks
the whole text; nothing is redacted. An answer is shown only when it is complete.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.answer import (
    Action,
    Attestation,
    CheckedPrompt,
    Delta,
    Direction,
    Execution,
    Finding,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator

    from gateway.answer import Request
    from servicekit.deadline import Deadline

__all__ = ["LocalRules"]

_DETECTOR = "local_rules"
_VERSION = "1"
_RAN = 1
# Every quantifier is bounded, so that no text takes long.
_RULES = {
    "local.private_key": ("SECRET", r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"),
    "local.aws_key": ("SECRET", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "local.github_token": ("SECRET", r"\bgh[pousr]_[0-9A-Za-z]{36}"),
    "local.payment_card": ("PAYMENT_CARD", r"\b\d{4}([ -])\d{4}\1\d{4}\1\d{4}\b"),
    "local.ignore_instructions": (
        "INJECTION",
        (
            r"(?i)\b(?:ignore|disregard|forget)\s{1,4}(?:\w{1,12}\s{1,4}){0,4}"
            r"(?:instructions|prompts?|rules)\b"
        ),
    ),
}
_PATTERNS = {rule: (category, re.compile(text)) for rule, (category, text) in _RULES.items()}
_DIGEST = hashlib.sha256(repr(sorted(_RULES.items())).encode()).hexdigest()


class LocalRules:
    """A guard that needs nobody else."""

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:  # noqa: ARG002
        """Block the prompt if a rule matches in any of its messages."""
        findings = tuple(
            finding
            for index, message in enumerate(request.messages)
            for finding in _findings(message.text, Direction.INPUT, index)
        )
        return CheckedPrompt(
            blocked=bool(findings),
            texts=tuple(message.text for message in request.messages),
            findings=findings,
            executions=(_execution(Direction.INPUT, findings),),
            policy_digest=_DIGEST,
        )

    @asynccontextmanager
    async def watch(
        self,
        request: Request,  # noqa: ARG002 - one set of rules for all
        deltas: AsyncIterable[str],
        deadline: Deadline,  # noqa: ARG002 - takes no time
    ) -> AsyncIterator[LocalWatch]:
        """Hold the answer back until it is complete."""
        yield LocalWatch(deltas)


@dataclass(slots=True)
class LocalWatch:
    """One answer under the local rules."""

    deltas: AsyncIterable[str]
    policy_digest: str = _DIGEST
    buffered: bool = True
    blocked: bool = False
    attestation: Attestation = field(
        default=Attestation(released_chars=0, scanned_chars=0, released_sha256="", policy_digest="")
    )
    executions: tuple[Execution, ...] = ()

    async def events(self) -> AsyncIterator[Delta | Finding]:
        """The whole answer, or what a rule found in it."""
        text = "".join([delta async for delta in self.deltas])
        findings = tuple(_findings(text, Direction.OUTPUT))
        released = "" if findings else text
        self.blocked = bool(findings)
        self.executions = (_execution(Direction.OUTPUT, findings),)
        self.attestation = Attestation(
            released_chars=len(released),
            scanned_chars=len(text),
            released_sha256=hashlib.sha256(released.encode()).hexdigest(),
            policy_digest=_DIGEST,
            detectors=((_DETECTOR, _VERSION),),
        )
        for finding in findings:
            yield finding
        if released:
            yield Delta(released)


def _findings(text: str, direction: Direction, message_index: int = 0) -> Iterator[Finding]:
    for rule_id, (category, pattern) in _PATTERNS.items():
        for match in pattern.finditer(text):
            yield Finding(
                detector=_DETECTOR,
                category=category,
                start=match.start(),
                end=match.end(),
                score=1.0,
                action=Action.BLOCK,
                rule_id=rule_id,
                direction=direction,
                message_index=message_index,
            )


def _execution(direction: Direction, findings: tuple[Finding, ...]) -> Execution:
    return Execution(
        detector=_DETECTOR,
        state=_RAN,
        score=1.0 if findings else 0.0,
        duration_ns=0,
        version=_VERSION,
        direction=direction,
    )
