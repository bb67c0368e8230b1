"""The composition root: the only place that knows which classes make up the service."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from inference.backends.weightless import weightless_model
from inference.catalogue import Catalogue, Endpoint
from inference.engine.blocks import BlockPool
from inference.engine.engine import BatchingEngine
from inference.engine.guide import GuideMaker
from inference.engine.queue import FairQueue
from inference.engine.request import FinishReason, Sampling
from inference.engine.scheduler import Limits, Scheduler
from inference.metrics import ModelMetrics
from inference.models.chat import ChatMessage, Role
from inference.models.errors import ModelUnavailableError
from inference.models.options import LoadOptions
from inference.service import InferenceService
from inference.spans import Observer
from inference.supervision import Supervisor
from inference.worker import EngineWorker
from servicekit.process import StartupError
from vedette import home
from vedette.inference.v1 import inference_pb2_grpc

if TYPE_CHECKING:
    import grpc

    from inference.models.served import ServedModel
    from inference.settings import InferenceSettings
    from servicekit.process import Kit

__all__ = ["InferenceApp", "build_engine", "load_model"]


class InferenceApp:
    """The inference service."""

    service_names: ClassVar[tuple[str, ...]] = ("vedette.inference.v1.InferenceService",)

    def __init__(self, settings: InferenceSettings, kit: Kit) -> None:
        """Put the parts together; nothing is loaded yet."""
        self._settings = settings
        self._log = kit.log
        self._catalogue = Catalogue()
        self._supervisors = {
            reference: Supervisor(
                kit.health.component(f"model {number}"),
                step_limit_s=settings.step_limit_s,
                reader_limit_s=settings.reader_limit_s,
            )
            for number, reference in enumerate(settings.models, start=1)
        }
        self._watching: list[asyncio.Task[None]] = []
        self._metrics = ModelMetrics(kit.meter)
        self._service = InferenceService(
            self._catalogue,
            observer=Observer(kit.tracer, self._metrics),
            default_deadline_s=settings.default_deadline_s,
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Serve the contract."""
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(self._service, server)

    async def start(self) -> None:
        """Load the models one after the other, and start an engine for each."""
        for reference, supervisor in self._supervisors.items():
            await self._serve(reference, supervisor)

    async def _serve(self, reference: str, supervisor: Supervisor) -> None:
        try:
            model = await asyncio.to_thread(load_model, reference, self._settings)
        except ModelUnavailableError as error:
            raise StartupError(str(error)) from error
        endpoint = await asyncio.to_thread(self._endpoint, model, supervisor)
        endpoint.worker.start()
        await _prove(endpoint)
        self._catalogue.add(endpoint)
        self._metrics.watch(model.card.name, lambda: endpoint.worker.load)
        self._watching.append(asyncio.create_task(supervisor.watch(endpoint.worker)))
        self._log.info("model.loaded", model=model.card.name, device=model.card.device)

    async def close(self) -> None:
        """Stop the engines."""
        for watching in self._watching:
            watching.cancel()
        for endpoint in self._catalogue.all():
            await endpoint.worker.close()

    def _endpoint(self, model: ServedModel, supervisor: Supervisor) -> Endpoint:
        settings = self._settings
        worker = EngineWorker(
            build_engine(model, settings),
            max_requests=settings.max_running + settings.max_waiting,
            messages_per_s=settings.messages_per_s,
            on_failure=partial(self._step_failed, supervisor),
        )
        return Endpoint(
            card=model.card,
            tokenizer=model.tokenizer,
            worker=worker,
            default_new_tokens=model.default_new_tokens,
            guides=GuideMaker(model.tokenizer.backend, model.tokenizer.end_ids),
        )

    def _step_failed(self, supervisor: Supervisor, error: Exception) -> None:
        supervisor.note_failure()
        self._log.error("engine.step_failed", exc_info=error.__cause__ or error)


async def _prove(endpoint: Endpoint) -> None:
    """Generate one token, so that a model that cannot is found out before its first caller."""
    prompt = endpoint.encode([ChatMessage(Role.USER, "Hello")])
    async with aclosing(endpoint.submit(prompt, Sampling(max_new_tokens=1))) as answer:
        async for output in answer:
            if output.finish_reason is FinishReason.ERROR:
                raise StartupError(
                    f"the model {endpoint.card.name} was loaded and cannot generate; "
                    "the log says what failed"
                )


def build_engine(model: ServedModel, settings: InferenceSettings) -> BatchingEngine:
    """The engine that serves a model."""
    limits = Limits(
        max_running=settings.max_running,
        max_step_tokens=settings.max_step_tokens,
        prompt_share=settings.prompt_share,
    )
    blocks = BlockPool(num_blocks=model.runner.num_blocks, block_size=model.runner.block_size)
    return BatchingEngine(
        runner=model.runner,
        scheduler=Scheduler(blocks=blocks, queue=FairQueue(), limits=limits),
        vocabulary=model.tokenizer,
        context_length=model.card.context_length,
    )


def load_model(reference: str, settings: InferenceSettings) -> ServedModel:
    """The model of this name, as the settings want it.

    Raises:
        ModelUnavailableError: if it cannot be had, or does not run the way that is asked for.
    """
    if settings.backend == "weightless":
        return weightless_model(
            text=settings.weightless_text,
            delay_s=settings.weightless_delay_ms / 1000,
            context_length=settings.max_context_length,
            max_new_tokens=settings.max_new_tokens,
        )
    # Importing transformers takes seconds; it happens here, behind the open port.
    from inference.models.loading import load  # noqa: PLC0415

    return load(
        reference,
        LoadOptions(
            models_dir=home.models_dir(),
            allow_download=settings.allow_download,
            device=settings.device,
            quantization=settings.quantization,
            cuda_graphs=settings.cuda_graphs,
            threads=settings.threads,
            cache_bytes=settings.cache_bytes,
            max_context_length=settings.max_context_length,
            max_new_tokens=settings.max_new_tokens,
            default_new_tokens=settings.default_new_tokens,
            max_running=settings.max_running,
        ),
    )
