"""A service for tests of the life cycle: run it as a program, and tell it by environment how to be.

It serves the guard's contract: `StreamCheckText` echoes, `ListPolicies` answers. TEST_START says
what its start does: nothing, `fail`, or `hang`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from servicekit.process import StartupError, main
from servicekit.settings import ServiceSettings
from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="VEDETTE_GUARDRAILS_")

    api_key: SecretStr = SecretStr("")


class Servicer(stubs.GuardrailsServiceServicer):
    async def StreamCheckText(self, request_iterator, context):
        async for request in request_iterator:
            yield pb.StreamCheckTextResponse(release=pb.Release(text=request.text))
        # As the real one does: a stream of requests ends alike for a caller that is done and for
        # one that is gone; writing tells them apart.
        yield pb.StreamCheckTextResponse(final=pb.StreamCheckTextFinal())

    async def ListPolicies(self, request, context):
        return pb.ListPoliciesResponse()


class App:
    service_names = ("vedette.guardrails.v1.GuardrailsService",)

    def __init__(self, settings, kit):
        self._kit = kit
        self._ready = kit.health.component("ready")

    def register(self, server):
        stubs.add_GuardrailsServiceServicer_to_server(Servicer(), server)

    async def start(self):
        how = os.environ.get("TEST_START")
        if how == "fail":
            raise StartupError("the model file is missing; fetch it")
        if how == "hang":
            await asyncio.Event().wait()
        self._ready.set(True)

    async def close(self):
        self._kit.log.info("app.closed")


if __name__ == "__main__":
    sys.exit(main(Settings, App))
