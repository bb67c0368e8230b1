"""Verdicts on prompts: the same text under the same version of a policy is judged once.

Not cached: policies that rewrite input, because their pseudonyms are kept by guardrails, and
verdicts that put a case before a person, because each case is to be seen.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from gateway.answer import Action, CheckedPrompt, Direction, Execution, Finding
from gateway.cache.keys import verdict_key
from servicekit import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from contextlib import AbstractAsyncContextManager

    from gateway.answer import Request
    from gateway.cache.stores import Store
    from gateway.catalogue import Catalogue
    from gateway.pipeline import Guard, Watch
    from servicekit.deadline import Deadline

__all__ = ["CachedVerdicts"]


class CachedVerdicts:
    """A guard that remembers what it thought of a prompt."""

    def __init__(self, inner: Guard, *, store: Store, catalogue: Catalogue, ttl_s: float) -> None:
        """Wrap this guard."""
        self._inner = inner
        self._store = store
        self._catalogue = catalogue
        self._ttl_s = ttl_s

    async def check(self, request: Request, deadline: Deadline) -> CheckedPrompt:
        """As the guard's."""
        policy = self._catalogue.policy(request.policy)
        if policy is None or policy.rewrites_input:
            return await self._inner.check(request, deadline)
        key = verdict_key(request, policy.digest)
        with request.journal.begin(names.STEP_VERDICT_CACHE, "miss") as step:
            kept = await self._store.get(key)
            if kept is not None:
                step.outcome = "hit"
                return _from_json(kept, request)
        verdict = await self._inner.check(request, deadline)
        if _keepable(verdict, request, policy.digest):
            await self._store.put(key, _to_json(verdict), ttl_s=self._ttl_s)
        return verdict

    def watch(
        self, request: Request, deltas: AsyncIterable[str], deadline: Deadline
    ) -> AbstractAsyncContextManager[Watch]:
        """As the guard's."""
        return self._inner.watch(request, deltas, deadline)


def _keepable(verdict: CheckedPrompt, request: Request, policy_digest: str) -> bool:
    return (
        verdict.policy_digest == policy_digest
        and all(execution.state == _RAN for execution in verdict.executions)
        and not any(finding.action is Action.REVIEW for finding in verdict.findings)
        and verdict.texts == tuple(message.text for message in request.messages)
    )


_RAN = 1


def _to_json(verdict: CheckedPrompt) -> str:
    # The texts are the request's own; they are not kept.
    return json.dumps(asdict(verdict) | {"texts": ()}, separators=(",", ":"))


def _from_json(text: str, request: Request) -> CheckedPrompt:
    fields = json.loads(text)
    return CheckedPrompt(
        blocked=fields["blocked"],
        texts=tuple(message.text for message in request.messages),
        findings=tuple(
            Finding(
                **entry
                | {"action": Action(entry["action"]), "direction": Direction(entry["direction"])}
            )
            for entry in fields["findings"]
        ),
        executions=tuple(
            Execution(**entry | {"direction": Direction(entry["direction"])})
            for entry in fields["executions"]
        ),
        policy_digest=fields["policy_digest"],
    )
