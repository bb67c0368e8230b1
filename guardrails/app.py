"""The composition root: the only place that knows what guardrails is made of."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar, Final

from guardrails.classifier import MODEL_FOLDER, ModelError, classifier
from guardrails.detectors import builtin
from guardrails.pipeline.afterwards import Afterwards
from guardrails.pipeline.checking import Checker
from guardrails.pipeline.shadow import Shadows, TallyFiles
from guardrails.policy import PolicyError, PolicyStore
from guardrails.policy.warming import warm_up
from guardrails.pseudonyms import MemoryVault, RedisVault
from guardrails.requests.admission import Admission
from guardrails.requests.reviewing import Reviewers
from guardrails.review import Desk, MemoryReviews, Recorder, RedisReviews
from guardrails.service import GuardrailsService
from guardrails.telemetry.capture import Capture
from guardrails.telemetry.metrics import GuardMetrics
from guardrails.telemetry.monitoring import TextMonitor
from guardrails.telemetry.observing import Observer
from servicekit.process import StartupError
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import grpc

    from guardrails.pipeline.checking import Judge
    from guardrails.pseudonyms import Vault
    from guardrails.review import Reviews
    from guardrails.settings import GuardrailsSettings
    from guardrails.window.lanes import Detector
    from servicekit.process import Kit

__all__ = ["GuardrailsApp"]

# The process says first that it serves.
_WARM_UP_AFTER_S: Final = 0.2


class GuardrailsApp:
    """Guardrails as a process runs it."""

    service_names: ClassVar[tuple[str, ...]] = ("vedette.guardrails.v1.GuardrailsService",)

    def __init__(
        self,
        settings: GuardrailsSettings,
        kit: Kit,
        *,
        detectors: Iterable[Detector] | None = None,
        judges: Mapping[str, Judge] | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            settings: what the operator set.
            kit: what the process gives.
            detectors: instead of the built-in ones.
            judges: what answers the questions of detectors that need to be awaited.

        Raises:
            StartupError: with every mistake in the policies.
        """
        self._reload_every_s = settings.reload_every_s
        self._log = kit.log
        self._classifier = classifier(
            settings.classifier_dir or MODEL_FOLDER, workers=settings.classifier_threads
        )
        usual = (*builtin(), *self._classifier.detectors)
        self._store = _store(settings, usual if detectors is None else detectors)
        secret = settings.secret.get_secret_value().encode() if settings.secret else os.urandom(32)
        self._vault = _vault(settings, secret)
        self._metrics = GuardMetrics(kit.meter)
        self._reviews = _reviews(settings, secret)
        self._recorder = Recorder(self._reviews, log=kit.log)
        judges = self._classifier.judges | dict(judges or {})
        self._shadows = Shadows(
            Checker(judges=judges, secret=secret),  # without the vault: it keeps no value
            self._store.shadows_of,
            files=None if settings.shadow_dir is None else TallyFiles(settings.shadow_dir),
            log=kit.log,
        )
        self._metrics.watch_shadows(lambda: self._shadows.tallies)
        self._service = GuardrailsService(
            admission=Admission(
                store=self._store,
                max_text_chars=settings.max_text_chars,
                max_segments=settings.max_segments,
            ),
            checker=Checker(
                judges=judges,
                vault=self._vault,
                secret=secret,
            ),
            store=self._store,
            observer=Observer(kit.tracer, self._metrics),
            metrics=self._metrics,
            capture=self._capture(usual, secret) if settings.capture_content else None,
            monitor=TextMonitor(kit.meter) if settings.monitor else None,
            afterwards=Afterwards(self._recorder, self._shadows),
            desk=Desk(self._reviews, self._recorder, log=kit.log),
            reviewers=Reviewers(settings.reviewers),
        )
        self._policies = kit.health.component("policies")
        self._model = kit.health.component("classifier")
        self._models = kit.health.component("models")
        self._following: list[asyncio.Task[None]] = []

    def _capture(self, detectors: Iterable[Detector], secret: bytes) -> Capture:
        self._log.warning("content.captured", remedy="unset VEDETTE_GUARDRAILS_CAPTURE_CONTENT")
        return Capture({each.name: each for each in detectors}, Checker(secret=secret))

    def register(self, server: grpc.aio.Server) -> None:
        """Add the servicer."""
        stubs.add_GuardrailsServiceServicer_to_server(self._service, server)

    async def start(self) -> None:
        """Follow the policy files from now on."""
        for policy in self._store.all():
            self._log.info("policy.loaded", policy=policy.name, digest=policy.digest)
        self._policies.set(True)
        await self._load_classifier()
        await self._load_models()
        self._following = [
            asyncio.create_task(self._follow_files()),
            asyncio.create_task(self._warm_up()),
        ]

    async def close(self) -> None:
        """Stop following the files, let go of the vault."""
        for task in self._following:
            task.cancel()
            await asyncio.wait({task})
        await self._shadows.close()
        self._classifier.judge.close()
        self._store.shelf.close()
        await self._vault.close()
        await self._recorder.settled()
        await self._reviews.close()

    async def _load_classifier(self) -> None:
        """Load the model. Without it the service answers, and policies decide what that means."""
        try:
            await self._classifier.load()
        except ModelError as error:
            self._log.error("classifier.unusable", reason=str(error))
        self._model.set(self._classifier.loaded or not self._needs_classifier())

    async def _load_models(self) -> None:
        """Load the models that policies name. Without one, the policy decides what that means."""
        for place, error in (await self._store.shelf.load()).items():
            if error is None:
                self._log.info("model.loaded", model=place)
            else:
                self._log.error("model.unusable", model=place, reason=str(error))
        self._models.set(not self._store.default.lacks_models)

    def _needs_classifier(self) -> bool:
        """Whether some policy blocks what the classifier cannot judge."""
        names = self._classifier.judges.keys()
        return any(policy.blocks_without(names) for policy in self._store.all())

    async def _warm_up(self) -> None:
        await asyncio.sleep(_WARM_UP_AFTER_S)
        await warm_up(self._store.default)

    async def _follow_files(self) -> None:
        while True:
            await asyncio.sleep(self._reload_every_s)
            self.reload()
            await self._load_models()

    def reload(self) -> None:
        """Look at the policy files once; what cannot be read changes nothing and is logged."""
        reload = self._store.refresh()
        if reload is None:
            return
        if reload.refusal is not None:
            self._log.error("policy.refused", mistakes=list(reload.refusal.mistakes))
        else:
            self._log.info("policy.reloaded", digests=dict(reload.digests))
            self._model.set(self._classifier.loaded or not self._needs_classifier())


def _vault(settings: GuardrailsSettings, secret: bytes) -> Vault:
    if settings.redis_url is None:
        return MemoryVault(ttl_s=settings.pseudonym_ttl_s)
    if settings.secret is None:
        raise StartupError(
            "VEDETTE_GUARDRAILS_REDIS_URL needs VEDETTE_GUARDRAILS_SECRET: replicas that share a "
            "vault share its key; set at least 16 random characters"
        )
    return RedisVault(
        url=settings.redis_url.get_secret_value(),
        secret=secret,
        ttl_s=settings.pseudonym_ttl_s,
        timeout_s=settings.redis_timeout_s,
    )


def _reviews(settings: GuardrailsSettings, secret: bytes) -> Reviews:
    if settings.redis_url is None:
        return MemoryReviews(most=settings.reviews_per_tenant)
    return RedisReviews(
        url=settings.redis_url.get_secret_value(),
        secret=secret,
        most=settings.reviews_per_tenant,
        timeout_s=settings.redis_timeout_s,
    )


def _store(settings: GuardrailsSettings, detectors: Iterable[Detector]) -> PolicyStore:
    try:
        return PolicyStore(
            folder=settings.policies_dir,
            default_name=settings.default_policy,
            detectors={detector.name: detector for detector in detectors},
        )
    except PolicyError as error:
        raise StartupError(str(error)) from error
