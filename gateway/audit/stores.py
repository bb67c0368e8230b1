"""Where records are kept: for GetDecision in memory or Redis, for good in files."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Protocol

from gateway.audit.record import from_json, to_json
from gateway.state.shared import StateLostError
from servicekit import logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.audit.record import Decision
    from gateway.state.shared import SharedState

__all__ = ["AuditFiles", "MemoryRecords", "Records", "Retention", "SharedRecords"]

_DAY_S = 24 * 3600.0


class Retention:
    """How long records are kept, by the policy that was applied."""

    def __init__(self, days: float, by_policy: dict[str, float]) -> None:
        """Keep records for so many days, those under a policy that is named here for its own."""
        self.days = days
        self._by_policy = by_policy

    def seconds(self, policy: str) -> float:
        """How long to keep a record under this policy."""
        return self._by_policy.get(policy, self.days) * _DAY_S

    @property
    def longest_s(self) -> float:
        """How long any record is kept."""
        return max(self.days, *self._by_policy.values(), 0.0) * _DAY_S


class Records(Protocol):
    """Keeps records; none is ever changed."""

    async def append(self, record: Decision) -> None:
        """Keep one more; a caller that is cancelled meanwhile does not interrupt it."""

    async def find(self, tenant: str, request_id: str) -> Decision | None:
        """A tenant's record of a request, if it is still there."""


class MemoryRecords:
    """The latest records of one process."""

    def __init__(
        self, retention: Retention, *, most: int, now: Callable[[], float] = time.time
    ) -> None:
        """Keep so many at most."""
        self._retention = retention
        self._most = most
        self._now = now
        self._records: dict[tuple[str, str], tuple[float, Decision]] = {}

    async def append(self, record: Decision) -> None:
        """As the protocol says; the oldest goes when there is no room."""
        until_s = self._now() + self._retention.seconds(record.policy)
        self._records.setdefault((record.tenant, record.request_id), (until_s, record))
        if len(self._records) > self._most:
            del self._records[next(iter(self._records))]

    async def find(self, tenant: str, request_id: str) -> Decision | None:
        """As the protocol says."""
        until_s, record = self._records.get((tenant, request_id), (0.0, None))
        return record if until_s > self._now() else None


class SharedRecords:
    """Records in Redis, and in memory those that could not be kept there."""

    def __init__(self, state: SharedState, retention: Retention, local: Records) -> None:
        """Prefer Redis."""
        self._state = state
        self._retention = retention
        self._local = local

    async def append(self, record: Decision) -> None:
        """As the protocol says."""
        await asyncio.shield(self._append(record))

    async def _append(self, record: Decision) -> None:
        ttl_s = int(self._retention.seconds(record.policy))
        key = _key(record.tenant, record.request_id)
        try:
            await self._state.ask("SET", key, to_json(record), "NX", "EX", max(1, ttl_s))
        except StateLostError:
            await self._local.append(record)

    async def find(self, tenant: str, request_id: str) -> Decision | None:
        """As the protocol says.

        Raises:
            StateLostError: it is not here, and Redis cannot be asked.
        """
        local = await self._local.find(tenant, request_id)
        if local is not None:
            return local
        line = await self._state.ask("GET", _key(tenant, request_id))
        return from_json(line) if line else None


class AuditFiles:
    """Records as lines of JSON, appended to one file a day; files past the retention are deleted.

    Each gateway writes files of its own. A record that cannot be written is reported in the log
    and the request goes on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        gateway: str,
        retention: Retention,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Write to this folder, which is made if it is missing."""
        self._folder = folder
        self._gateway = gateway
        self._retention = retention
        self._now = now
        self._day = ""
        self._file: IO[str] | None = None

    def append(self, record: Decision) -> None:
        """Write one line, through to the operating system."""
        try:
            file = self._today()
            file.write(to_json(record) + "\n")
            file.flush()
        except OSError as error:
            self._day = ""  # open it anew next time
            logs.get().error("audit.not_written", error_type=type(error).__name__)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _today(self) -> IO[str]:
        day = time.strftime("%Y-%m-%d", time.gmtime(self._now()))
        if day != self._day or self._file is None:
            self.close()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._delete_old()
            path = self._folder / f"decisions-{day}-{self._gateway}.jsonl"
            self._file = path.open("a", encoding="utf-8")
            self._day = day
        return self._file

    def _delete_old(self) -> None:
        for path in self._folder.glob("decisions-*.jsonl"):
            if path.stat().st_mtime < self._now() - self._retention.longest_s - _DAY_S:
                path.unlink(missing_ok=True)


def _key(tenant: str, request_id: str) -> str:
    return f"vedette:v1:{{{tenant}}}:decision:{request_id}"
