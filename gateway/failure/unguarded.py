"""No guard at all, for tenants whose terms say that a late review is better than no answer.

Nothing is checked and everything says so: the executions, the attestation with no character
scanned, the degradation in the answer, and the audit record that a person reviews.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.answer import Attestation, CheckedPrompt, Delta, Direction, Execution

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from gateway.answer import Finding, Request
    from servicekit.deadline import Deadline

__all__ = ["Unguarded"]

_FAILED = 3
_NO_POLICY = ""


class Unguarded:
    """Lets everything pass, and says that it did."""

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:  # noqa: ARG002
        """The prompt as it came."""
        return CheckedPrompt(
            blocked=False,
            texts=tuple(message.text for message in request.messages),
            findings=(),
            executions=(_not_run(Direction.INPUT),),
            policy_digest=_NO_POLICY,
        )

    @asynccontextmanager
    async def watch(
        self,
        request: Request,  # noqa: ARG002 - nothing is looked at
        deltas: AsyncIterable[str],
        deadline: Deadline,  # noqa: ARG002 - takes no time
    ) -> AsyncIterator[UnguardedWatch]:
        """The answer as it comes."""
        yield UnguardedWatch(deltas)


class UnguardedWatch:
    """One answer that nobody checks."""

    def __init__(self, deltas: AsyncIterable[str]) -> None:
        """Pass these on."""
        self.policy_digest = _NO_POLICY
        self.buffered = False
        self.blocked = False
        self.executions: tuple[Execution, ...] = (_not_run(Direction.OUTPUT),)
        self._deltas = deltas
        self.attestation = _unscanned(0, hashlib.sha256())

    async def events(self) -> AsyncIterator[Delta | Finding]:
        """Every delta."""
        chars, digest = 0, hashlib.sha256()
        async for text in self._deltas:
            chars += len(text)
            digest.update(text.encode())
            yield Delta(text)
        self.attestation = _unscanned(chars, digest)


def _unscanned(chars: int, digest: hashlib._Hash) -> Attestation:
    return Attestation(
        released_chars=chars,
        scanned_chars=0,
        released_sha256=digest.hexdigest(),
        policy_digest=_NO_POLICY,
    )


def _not_run(direction: Direction) -> Execution:
    return Execution(
        detector="guardrails",
        state=_FAILED,
        score=0.0,
        duration_ns=0,
        version="",
        direction=direction,
    )
