"""Writes the record of every answer, before the caller sees its end."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from gateway.answer import Final, Finding
from gateway.audit.record import decision
from gateway.state.shared import StateLostError
from servicekit import names
from servicekit.errors import Fault, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from gateway.answer import Event, Request
    from gateway.audit.record import Decision
    from gateway.audit.stores import AuditFiles, Records
    from gateway.identity.caller import Caller
    from gateway.pipeline import Answerer
    from servicekit.deadline import Deadline

__all__ = ["Audited", "Decisions"]


class Decisions:
    """The records, written to all places and read by the tenants that they concern."""

    def __init__(self, records: Records, files: AuditFiles | None) -> None:
        """Keep records here, and in files if there are any."""
        self._records = records
        self._files = files

    async def append(self, record: Decision) -> None:
        """Keep one more; a caller that is cancelled meanwhile does not interrupt it."""
        if self._files is not None:
            self._files.append(record)
        await self._records.append(record)

    async def of(self, caller: Caller, request_id: str) -> Decision:
        """The record of a request of the caller's tenant.

        Raises:
            NotFound: there is none, or it is another tenant's.
            Unavailable: it cannot be looked up now.
        """
        try:
            record = await self._records.find(caller.tenant, request_id)
        except StateLostError as error:
            raise Unavailable(reason="RECORDS_UNAVAILABLE", retry_after_s=1.0) from error
        if record is None:
            raise NotFound("There is no record of this request.", reason="DECISION_NOT_FOUND")
        return record


class Audited:
    """Leaves a record of everything that the inner answerer decided."""

    def __init__(
        self,
        inner: Answerer,
        decisions: Decisions,
        breakers: Callable[[], Sequence[tuple[str, str]]],
    ) -> None:
        """Record this, with the state of each part's breaker."""
        self._inner = inner
        self._decisions = decisions
        self._breakers = breakers

    async def run(self, request: Request, deadline: Deadline) -> AsyncGenerator[Event]:
        """As the pipeline's."""
        findings: list[Finding] = []
        final: Final | None = None
        cancelled = True
        try:
            async with aclosing(self._inner.run(request, deadline)) as events:
                async for event in events:
                    if isinstance(event, Finding):
                        findings.append(event)
                    elif isinstance(event, Final):
                        final = event
                        await self._record(request, findings, final)
                    yield event
        except Fault:
            cancelled = False
            raise
        finally:
            if final is None:
                await self._record(request, findings, None, cancelled=cancelled)

    async def _record(
        self,
        request: Request,
        findings: list[Finding],
        final: Final | None,
        *,
        cancelled: bool = False,
    ) -> None:
        record = decision(request, findings, final, cancelled=cancelled, breakers=self._breakers())
        with request.journal.begin(names.STEP_RECORD, "kept"):
            await self._decisions.append(record)
