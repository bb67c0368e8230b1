"""What a gateway remembers, and where: in a Redis that it shares with others, or in memory."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from gateway.audit.layer import Decisions
from gateway.audit.stores import AuditFiles, MemoryRecords, Retention, SharedRecords
from gateway.budget.fallback import ResilientLedger
from gateway.budget.ledger import MemoryLedger
from gateway.budget.shared import SharedLedger
from gateway.cache.stores import MemoryStore, SharedStore
from gateway.failure.breaker import Breaker
from gateway.limits.fallback import LocalLimits, SharedLimits
from gateway.limits.meters import MemoryMeters, SharedMeters
from gateway.limits.slots import MemorySlots, SharedSlots
from gateway.state.shared import SharedState

if TYPE_CHECKING:
    from gateway.audit.stores import Records
    from gateway.budget.ledger import Ledger
    from gateway.cache.stores import Store
    from gateway.limits.fallback import Limits
    from gateway.metrics import GatewayMetrics
    from gateway.settings import GatewaySettings

__all__ = ["Backing"]


class Backing:
    """The ledger, the limits, the records and the caches of one gateway."""

    def __init__(self, settings: GatewaySettings, metrics: GatewayMetrics) -> None:
        """Choose by the settings; connect to nothing."""
        self._settings = settings
        self._state = self._shared_state(metrics)
        self.ledger = self._ledger()
        self.limits = self._limits()
        retention = Retention(settings.audit_retention_days, settings.audit_retention_by_policy)
        self._files = (
            AuditFiles(settings.audit_dir, gateway=secrets.token_hex(4), retention=retention)
            if settings.audit_dir is not None
            else None
        )
        self.decisions = Decisions(self._records(retention), self._files)

    def store(self) -> Store:
        """A place for cached values, with a size of its own in memory."""
        near = MemoryStore(max_chars=self._settings.cache_max_chars)
        return SharedStore(self._state, near) if self._state is not None else near

    async def run(self) -> None:
        """Book late what could not be booked in time, until cancelled."""
        if isinstance(self.ledger, ResilientLedger):
            await self.ledger.run()

    async def close(self) -> None:
        """Book what is left and let go of Redis and files."""
        if isinstance(self.ledger, ResilientLedger):
            await self.ledger.book()
        if self._state is not None:
            await self._state.close()
        if self._files is not None:
            self._files.close()

    def _shared_state(self, metrics: GatewayMetrics) -> SharedState | None:
        settings = self._settings
        if settings.redis_url is None:
            return None
        breaker = Breaker("redis", fail_max=3, reset_s=1.0)
        metrics.watch(breaker)
        url = settings.redis_url.get_secret_value()
        return SharedState(url, breaker, timeout_s=settings.redis_timeout_s)

    def _ledger(self) -> Ledger:
        if self._state is None:
            return MemoryLedger()
        shared = SharedLedger(self._state)
        return ResilientLedger(shared, MemoryLedger(), factor=self._settings.redis_loss_factor)

    def _limits(self) -> Limits:
        local = LocalLimits(MemoryMeters(), MemorySlots())
        if self._state is None:
            return local
        shared = LocalLimits(SharedMeters(self._state), SharedSlots(self._state))
        return SharedLimits(shared, local, factor=self._settings.redis_loss_factor)

    def _records(self, retention: Retention) -> Records:
        records = MemoryRecords(retention, most=self._settings.audit_in_memory)
        return records if self._state is None else SharedRecords(self._state, retention, records)
