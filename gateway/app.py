"""The composition root: the only place that knows what the gateway is made of.

What it remembers is put together in `gateway.state.backing`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import grpc

from gateway.admission import Admission
from gateway.audit.layer import Audited
from gateway.budget.layer import Budgeted
from gateway.budget.prices import PriceList
from gateway.budget.report import UsageReport
from gateway.cache.answers import CachedModel
from gateway.cache.verdicts import CachedVerdicts
from gateway.catalogue import Catalogue
from gateway.failure.breaker import Breaker
from gateway.failure.breaking import BreakingGuard, BreakingModel
from gateway.failure.fallback import Fallback, FallbackModel
from gateway.failure.hedging import HedgedGuard
from gateway.failure.ladder import LadderGuard
from gateway.failure.local_rules import LocalRules
from gateway.failure.retry import Patience, Retry, RetryingGuard, RetryingModel
from gateway.failure.unguarded import Unguarded
from gateway.guard import RemoteGuard
from gateway.identity.access import Access, LocalAccess
from gateway.identity.interceptor import Gate
from gateway.identity.register import RegisterError, read
from gateway.identity.upkeep import Upkeep
from gateway.limits.layer import Limited, Toll
from gateway.limits.shedding import Pressure, Shedding
from gateway.metrics import BudgetWatch, GatewayMetrics
from gateway.model import RemoteModel
from gateway.monitors import Probes
from gateway.pipeline import Pipeline
from gateway.service import GatewayService
from gateway.speculation import Speculative, Waste
from gateway.state.backing import Backing
from gateway.steps import NotedGuard, NotedModel
from gateway.terms import GuardLoss
from servicekit.channels import open_channel
from servicekit.process import StartupError
from vedette.gateway.v1 import gateway_pb2_grpc as stubs

if TYPE_CHECKING:
    from gateway.budget.layer import Counter
    from gateway.identity.access import Identity
    from gateway.pipeline import Answerer, Guard, Model
    from gateway.settings import GatewaySettings
    from servicekit.channels import TracedChannel
    from servicekit.health import Component
    from servicekit.process import Kit

__all__ = ["GatewayApp"]

_GUARDRAILS = "vedette.guardrails.v1.GuardrailsService"
_INFERENCE = "vedette.inference.v1.InferenceService"


class GatewayApp:
    """The gateway as a process runs it."""

    service_names: ClassVar[tuple[str, ...]] = ("vedette.gateway.v1.GatewayService",)

    def __init__(self, settings: GatewaySettings, kit: Kit) -> None:
        """Put the parts together; connect to nothing."""
        self._settings = settings
        self._kit = kit
        self._metrics = GatewayMetrics(kit.meter)
        self._guardrails = self._channel(settings.guardrails_target, _GUARDRAILS)
        self._inference = self._channel(settings.inference_target, _INFERENCE)
        self._others: list[TracedChannel] = []
        self._access: Access | None = None
        self._upkeep: Upkeep | None = None
        self._prices = PriceList()
        self._backing = Backing(settings, self._metrics)
        self.interceptors = (self._gate(),)
        model = RemoteModel(self._inference)
        self._catalogue = (
            Catalogue(self._guardrails, self._inference) if settings.wants_catalogue else None
        )
        pipeline = self._pipeline_alone = self._pipeline(self._guard(), self._model(model))
        self._service = GatewayService(
            admission=Admission(
                policies=settings.policies,
                max_prompt_chars=settings.max_prompt_chars,
                max_messages=settings.max_messages,
            ),
            answerer=self._layers(pipeline, model),
            toll=Toll(self._backing.limits),
            model=model,
            usage_report=UsageReport(self._backing.ledger, self._prices),
            decisions=self._backing.decisions,
            default_deadline_s=settings.default_deadline_s,
            tracer=kit.tracer,
            metrics=self._metrics,
        )
        self._guardrails_health = kit.health.component("guardrails")
        self._inference_health = kit.health.component("inference")
        self._tasks: list[asyncio.Task[None]] = []

    def register(self, server: grpc.aio.Server) -> None:
        """Add the servicer."""
        stubs.add_GatewayServiceServicer_to_server(self._service, server)

    async def start(self) -> None:
        """Follow the health of both upstreams from now on; the gateway serves when they do."""
        self._tasks = [
            asyncio.create_task(self._follow_guardrails(self._guardrails_health)),
            asyncio.create_task(_follow(self._inference, self._inference_health)),
            asyncio.create_task(self._backing.run()),
        ]
        if self._upkeep is not None:
            await self._upkeep.refresh_keys()
            self._tasks.append(asyncio.create_task(self._upkeep.run()))
        if self._settings.monitor_every_s is not None:
            probes = Probes(
                self._pipeline_alone,
                policy=self._settings.policies[0],
                every_s=self._settings.monitor_every_s,
                tracer=self._kit.tracer,
                meter=self._kit.meter,
                ready=self._upstreams_are_ready,
            )
            self._tasks.append(asyncio.create_task(probes.run()))
        if self._access is not None:
            budgets = BudgetWatch(self._kit.meter, self._backing.ledger, self._access)
            self._tasks.append(asyncio.create_task(budgets.run()))
        if self._catalogue is not None:
            await self._catalogue.refresh()
            self._tasks.append(asyncio.create_task(self._catalogue.run()))

    async def close(self) -> None:
        """Let go of the upstreams."""
        for task in self._tasks:
            task.cancel()
        for channel in (self._guardrails, self._inference, *self._others):
            await channel.close()
        await self._backing.close()

    def _pipeline(self, guard: Guard, model: Model) -> Answerer:
        pipeline = Pipeline(guard=guard, model=model)
        if self._catalogue is None or not self._settings.speculate:
            return pipeline
        waste = Waste(most=self._settings.speculate_max_blocked)
        return Speculative(pipeline, guard, catalogue=self._catalogue, waste=waste)

    def _guard(self) -> Guard:
        """The guardrails service and what stands around it, from the inside out."""
        settings = self._settings
        remote = RemoteGuard(self._guardrails, check_timeout_s=settings.check_timeout_s)
        guard: Guard = BreakingGuard(remote, self._breaker("guardrails"), remote.upstream)
        guard = RetryingGuard(guard, Retry(patience=Patience()))
        if settings.hedge_after_s is not None:
            guard = HedgedGuard(guard, after_s=settings.hedge_after_s, patience=Patience())
        if self._catalogue is not None and settings.verdict_cache_ttl_s is not None:
            guard = CachedVerdicts(
                guard,
                store=self._backing.store(),
                catalogue=self._catalogue,
                ttl_s=settings.verdict_cache_ttl_s,
            )
        rungs: dict[GuardLoss, Guard] = {
            GuardLoss.LOCAL_RULES: LocalRules(),
            GuardLoss.OPEN_WITH_REVIEW: Unguarded(),
        }
        return NotedGuard(LadderGuard(guard, rungs, remote.upstream))

    def _model(self, remote: RemoteModel) -> Model:
        """The inference service and what stands around it, from the inside out."""
        model = self._steady(remote, "inference")
        fallbacks = []
        for entry in self._settings.fallback_models:
            name, _, target = entry.partition("@")
            if not target:
                fallbacks.append(Fallback(name, model))
                continue
            channel = self._channel(target, _INFERENCE)
            self._others.append(channel)
            fallbacks.append(Fallback(name, self._steady(RemoteModel(channel), entry)))
        if fallbacks:
            model = FallbackModel(model, fallbacks)
        if self._catalogue is not None and self._settings.answer_cache_ttl_s is not None:
            model = CachedModel(
                model,
                store=self._backing.store(),
                catalogue=self._catalogue,
                ttl_s=self._settings.answer_cache_ttl_s,
                keep_cadence=self._settings.answer_cache_cadence,
            )
        return NotedModel(model)

    def _steady(self, remote: RemoteModel, name: str) -> Model:
        breaking = BreakingModel(remote, self._breaker(name), remote.upstream)
        return RetryingModel(breaking, Retry(patience=Patience()))

    def _breaker(self, name: str) -> Breaker:
        breaker = Breaker(
            name,
            fail_max=self._settings.breaker_failures,
            reset_s=self._settings.breaker_reset_s,
        )
        self._metrics.watch(breaker)
        return breaker

    def _channel(self, target: str, service_name: str) -> TracedChannel:
        try:
            return open_channel(
                target,
                tracer=self._kit.tracer,
                meter=self._kit.meter,
                service_name=service_name,
                max_message_bytes=self._settings.max_message_bytes,
                certificates=self._settings.upstream_certificates,
            )
        except OSError as error:
            raise StartupError(
                "cannot read the certificates; set VEDETTE_GATEWAY_TLS_CERT, _TLS_KEY and "
                "_UPSTREAM_CA to readable files"
            ) from error

    def _layers(self, pipeline: Answerer, counter: Counter) -> Answerer:
        """What stands around the pipeline, from the inside out."""
        settings = self._settings
        budgeted = Budgeted(
            pipeline,
            ledger=self._backing.ledger,
            prices=self._prices,
            counter=counter,
            assumed_new_tokens=settings.assumed_new_tokens,
        )
        pressure = Pressure(target_delay_s=settings.queue_target_s, most=settings.max_in_flight)
        limited = Limited(
            Audited(budgeted, self._backing.decisions, self._metrics.breakers),
            self._backing.limits,
            assumed_new_tokens=settings.assumed_new_tokens,
        )
        # Outermost, so that refusing costs nothing when there is too much to do already.
        return Shedding(limited, pressure)

    def _gate(self) -> Gate:
        identity = self._identity()
        # Without an access file there is nothing to ask, and no step to show.
        return Gate(identity, self._kit.tracer if self._access is not None else None)

    def _identity(self) -> Identity:
        path = self._settings.access_file
        if path is None:
            return LocalAccess()
        try:
            self._access = Access(read(path))
        except RegisterError as error:
            raise StartupError(f"the access file is wrong: {error}") from error
        self._access.register.fill(self._prices)
        self._upkeep = Upkeep(path, self._access, self._prices)
        return self._access

    def _upstreams_are_ready(self) -> bool:
        channels = (self._guardrails, self._inference)
        return all(each.get_state() is grpc.ChannelConnectivity.READY for each in channels)

    async def _follow_guardrails(self, component: Component) -> None:
        """The gateway needs its guard, unless some tenant's terms let something stand in."""
        async for ready in self._guardrails.readiness():
            component.set(ready or (self._access is not None and self._access.register.tolerant))


async def _follow(channel: TracedChannel, component: Component) -> None:
    async for ready in channel.readiness():
        component.set(ready)
