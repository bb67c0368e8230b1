"""Drives a window: feeds it in slices, asks the judges, keeps the event loop free."""

from __future__ import annotations

import asyncio
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from guardrails.findings import Action, Direction, Execution, ExecutionState, Finding, Role
from guardrails.pseudonyms import Placeholders, Restorer
from guardrails.window.failures import report
from guardrails.window.redaction import Redactor
from guardrails.window.surroundings import Surroundings, Text

from .recollection import Recollection

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Mapping,
        Sequence,
    )

    from guardrails.policy.compiled import CompiledPolicy
    from guardrails.pseudonyms import Scope, Vault
    from guardrails.window.attestation import Attestation
    from guardrails.window.lanes import Question
    from guardrails.window.window import GuardWindow, Release

__all__ = ["CheckedText", "Checker", "Judge", "StreamedCheck", "summed_up"]

# What is scanned between two chances for other requests. Prose goes fast in long slices; a slice
# that took long makes the next one shorter. The result does not depend on it.
_FIRST_SLICE_CHARS: Final = 8_192
_SHORTEST_SLICE_CHARS: Final = 1_024
_LONGEST_SLICE_CHARS: Final = 65_536
_SLICE_S: Final = 0.01

# Some hundred conversations of forty messages; less than a kilobyte each.
_MOST_STRETCHES: Final = 4_096


_NOWHERE: Final = Surroundings()


class _Keep(Protocol):
    def __call__(self, values: Mapping[str, str], /) -> Awaitable[None]: ...


class _Ask(Protocol):
    def __call__(self, question: Question, /) -> Awaitable[Mapping[str, float]]: ...


class Judge(Protocol):
    """A detector's slow half, awaited outside the window."""

    async def judge(self, text: str) -> Mapping[str, float]:
        """Score one stretch of text by category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedText:
    """What became of a text."""

    text: str
    findings: tuple[Finding, ...]
    action: Action
    executions: tuple[Execution, ...]
    attestation: Attestation
    # What was scanned until the verdict, where the check was told to keep it.
    original: str = ""


class Checker:
    """Checks texts against a policy, whole or as they arrive."""

    def __init__(
        self,
        *,
        judges: Mapping[str, Judge] | None = None,
        vault: Vault | None = None,
        secret: bytes = b"",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the parts together.

        Args:
            judges: who answers the questions of a detector, by its name.
            vault: where values behind placeholders are kept; without one, pseudonyms are masks.
            secret: the key of hashes and placeholders.
            clock: seconds that only grow.
        """
        self._judges = dict(judges or {})
        self._recollection = Recollection(_MOST_STRETCHES)
        self._vault = vault
        self._secret = secret
        self._clock = clock

    async def open(
        self,
        policy: CompiledPolicy,
        *,
        direction: Direction,
        role: Role,
        surroundings: Surroundings,
        keep_original: bool = False,
    ) -> StreamedCheck:
        """Begin a text that arrives in pieces; with `keep_original` it can be asked for later.

        Raises:
            VaultDown: if values are to be restored and cannot be read.
        """
        scope, vault = surroundings.scope, self._vault
        placeholders, restorer, keep = None, None, None
        if vault is not None and scope is not None:
            if policy.pseudonymizes(direction):
                placeholders = Placeholders(secret=self._secret, scope=scope)
                keep = functools.partial(vault.keep, scope)
            if direction is Direction.OUTPUT and policy.restores_output:
                restorer = Restorer(await vault.values(scope))
        window = policy.open(
            direction=direction,
            role=role,
            clock=self._clock,
            surroundings=surroundings,
            redactor=Redactor(
                secret=self._secret, tenant=surroundings.tenant, placeholders=placeholders
            ),
            restorer=restorer,
            secret=self._secret,
        )
        return StreamedCheck(
            window,
            ask=functools.partial(self._ask, policy, surroundings.tenant),
            keep=keep,
            original=[] if keep_original else None,
            clock=self._clock,
        )

    async def _ask(
        self, policy: CompiledPolicy, tenant: str, question: Question
    ) -> Mapping[str, float]:
        judge = policy.judges.get(question.detector) or self._judges[question.detector]
        return await self._recollection.scores(judge, question.text, tenant=tenant)

    async def restore(self, text: str, scope: Scope) -> tuple[str, int]:
        """Put values back for the placeholders in a text; also, how many were put back.

        Raises:
            VaultDown: if the values cannot be read.
        """
        values = {} if self._vault is None else await self._vault.values(scope)
        restorer = Restorer(values)
        return restorer.push(text) + restorer.flush(), restorer.restored

    async def check(
        self,
        policy: CompiledPolicy,
        text: Text,
        *,
        direction: Direction,
        surroundings: Surroundings = _NOWHERE,
        keep_original: bool = False,
    ) -> CheckedText:
        """Check a whole text: the same as a stream of one piece."""
        streamed = await self.open(
            policy,
            direction=direction,
            role=text.role,
            surroundings=surroundings,
            keep_original=keep_original,
        )
        releases = await streamed.whole(text.text)
        window = streamed.window
        return CheckedText(
            text="".join(release.text for release in releases),
            findings=tuple(finding for release in releases for finding in release.findings),
            action=window.action,
            executions=window.executions,
            attestation=window.attest(),
            original=streamed.original,
        )


class StreamedCheck:
    """One text on its way through a window."""

    def __init__(
        self,
        window: GuardWindow,
        *,
        ask: _Ask,
        keep: _Keep | None,
        original: list[str] | None,
        clock: Callable[[], float],
    ) -> None:
        """Feed this window.

        `ask` gets a question answered by its detector's judge, `keep` stores the values behind
        placeholders before any release, `original` takes the pieces as they come.
        """
        self._keep = keep
        self._pieces = original
        self._slice_chars = _FIRST_SLICE_CHARS
        self.window = window
        self._ask = ask
        self._clock = clock

    @property
    def findings(self) -> Sequence[Finding]:
        """What was found so far."""
        return self.window.findings

    @property
    def action(self) -> Action:
        """The strictest action so far."""
        return self.window.action

    @property
    def original(self) -> str:
        """What was scanned until the verdict; empty unless it was to be kept.

        It does not depend on how the text was cut: what came behind a block is not part of it.
        """
        if self._pieces is None:
            return ""
        return "".join(self._pieces)[: self.window.attest().scanned_chars]

    async def run(self, pieces: AsyncIterator[str]) -> AsyncGenerator[Release]:
        """Check the pieces as they come, and their end; yields what they release.

        After a block it ends without asking for another piece.

        Raises:
            VaultDown, VaultConflict: if a value behind a placeholder cannot be kept.
        """
        async for piece in pieces:
            if self._pieces is not None:
                self._pieces.append(piece)
            begin = 0
            while begin < len(piece):
                if begin:
                    await asyncio.sleep(0)
                end = begin + self._slice_chars
                yield await self._kept(self._timed_push(piece[begin:end]))
                begin = end
                async for release in self._answered():
                    yield release
                if self.window.end is not None:
                    return
        yield await self._kept(self.window.finish())
        async for release in self._answered():
            yield release

    async def whole(self, text: str) -> list[Release]:
        """Check a text that is complete, so that nothing is asked about what could follow.

        Raises:
            VaultDown, VaultConflict: if a value behind a placeholder cannot be kept.
        """
        if self._pieces is not None:
            self._pieces.append(text)
        releases: list[Release] = []
        begin = 0
        while self.window.end is None and (end := begin + self._slice_chars) < len(text):
            releases.append(await self._kept(self._timed_push(text[begin:end])))
            begin = end
            releases += [release async for release in self._answered()]
            await asyncio.sleep(0)
        if self.window.end is None:
            releases.append(await self._kept(self.window.finish(text[begin:])))
            releases += [release async for release in self._answered()]
        return releases

    async def _kept(self, release: Release) -> Release:
        """The release, once the values behind its placeholders are kept."""
        if self._keep is not None and (fresh := self.window.fresh_placeholders()):
            await self._keep(fresh)
        return release

    def _timed_push(self, piece: str) -> Release:
        started_s = self._clock()
        release = self.window.push(piece)
        took_s = self._clock() - started_s
        if took_s > _SLICE_S:
            self._slice_chars = max(_SHORTEST_SLICE_CHARS, self._slice_chars // 2)
        elif took_s < _SLICE_S / 4 and len(piece) == self._slice_chars:
            self._slice_chars = min(_LONGEST_SLICE_CHARS, self._slice_chars * 2)
        return release

    async def _answered(self) -> AsyncGenerator[Release]:
        while questions := self.window.pending():
            for question in questions:
                yield await self._kept(await self._answer(question))

    async def _answer(self, question: Question) -> Release:
        timeout_s = self.window.timeout_s(question.detector)
        started_s = self._clock()
        try:
            async with asyncio.timeout(timeout_s):
                scores = await self._ask(question)
        except TimeoutError:
            return self.window.fail(question.detector, ExecutionState.TIMED_OUT)
        except Exception as error:  # noqa: BLE001 - whatever a judge raises, it did not answer
            report(question.detector, error)
            return self.window.fail(question.detector, ExecutionState.FAILED)
        return self.window.resolve(question, scores, busy_s=self._clock() - started_s)


def summed_up(executions: Sequence[tuple[Execution, ...]]) -> tuple[Execution, ...]:
    """One execution a detector over several texts: worst state, highest score, total time."""
    if len(executions) == 1:
        return tuple(sorted(executions[0], key=_name))
    total: dict[str, Execution] = {}
    for execution in (each for group in executions for each in group):
        known = total.get(execution.detector)
        total[execution.detector] = execution if known is None else _added(known, execution)
    return tuple(total[name] for name in sorted(total))


def _name(execution: Execution) -> str:
    return execution.detector


def _added(one: Execution, other: Execution) -> Execution:
    return Execution(
        detector=one.detector,
        version=one.version,
        state=max(one.state, other.state),
        score=max(one.score, other.score),
        busy_s=one.busy_s + other.busy_s,
    )
