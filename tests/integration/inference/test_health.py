"""What the service says of itself when its engine fails, hangs and recovers."""

from __future__ import annotations

import threading
import time
from contextlib import asynccontextmanager
from typing import ClassVar

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from inference.app import InferenceApp
from vedette.inference.v1 import inference_pb2 as pb

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
TIMEOUT_S = 60


class Opened(InferenceApp):
    """An app whose parts a test can reach."""

    instances: ClassVar[list[InferenceApp]] = []

    def __init__(self, settings, kit):
        super().__init__(settings, kit)
        Opened.instances.append(self)


@pytest.fixture
def opened(serve):
    """The stub, the runner and the supervisor of a service, and a call that waits for a status."""

    @asynccontextmanager
    async def run(**settings):
        async with serve(Opened, **settings) as model:
            app = Opened.instances.pop()
            runner = app._catalogue.get("").worker._engine._runner
            (supervisor,) = app._supervisors.values()
            watch = model.health.Watch(
                HealthCheckRequest(service=app.service_names[0]), timeout=TIMEOUT_S
            )

            async def until(status):
                while (await watch.read()).status != status:
                    pass

            yield model, runner, supervisor, until

    return run


async def test_three_failed_steps_turn_health_until_a_minute_has_passed(opened, asking):
    """Each failing request gets its error; after a quiet minute the service is trusted again."""
    async with opened() as (model, runner, supervisor, until):
        await until(SERVING)
        forward, runner.forward = runner.forward, None
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await model.Generate(asking("hi", pb.GenerateRequest), timeout=TIMEOUT_S)
            assert grpc.StatusCode.INTERNAL is caught.value.code()
        await until(NOT_SERVING)
        runner.forward = forward
        supervisor._now = lambda: time.monotonic() + 60
        await until(SERVING)
        answer = await model.Generate(asking("well again", pb.GenerateRequest), timeout=TIMEOUT_S)
        assert "well again" == answer.text


async def test_a_step_that_hangs_turns_health_until_it_ends(opened, asking):
    """The step is noticed while it lasts, and its request is answered in the end."""
    async with opened(step_limit_s=0.1) as (model, runner, _, until):
        await until(SERVING)
        leave, forward = threading.Event(), runner.forward

        def hang(rows):
            leave.wait(TIMEOUT_S)
            return forward(rows)

        runner.forward = hang
        call = model.Generate(asking("late", pb.GenerateRequest), timeout=TIMEOUT_S)
        await until(NOT_SERVING)
        leave.set()
        assert "late" == (await call).text
        await until(SERVING)
