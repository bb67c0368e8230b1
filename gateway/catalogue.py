"""What the gateway knows of the services behind it: policies and models, asked for regularly.

It is an aid for deciding what may be skipped or begun early. When it is not known, nothing is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from servicekit import logs
from vedette.guardrails.v1 import guardrails_pb2 as guard_pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as guard_stubs
from vedette.inference.v1 import inference_pb2 as model_pb
from vedette.inference.v1 import inference_pb2_grpc as model_stubs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servicekit.channels import TracedChannel

__all__ = ["Catalogue", "PolicyFacts"]

_REFRESH_S = 1.0
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What matters here about a policy."""

    digest: str
    rewrites_input: bool


class Catalogue:
    """Policies and model revisions, at most a few seconds old."""

    def __init__(self, guardrails: TracedChannel, inference: TracedChannel) -> None:
        """Ask over these channels."""
        self._guard = guard_stubs.GuardrailsServiceStub(guardrails)
        self._model = model_stubs.InferenceServiceStub(inference)
        self._policies: Mapping[str, PolicyFacts] = {}
        self._revisions: Mapping[str, str] = {}
        self._refreshing = asyncio.Lock()
        self._log = logs.get()

    def policy(self, name: str) -> PolicyFacts | None:
        """What is known about a policy, if anything is."""
        return self._policies.get(name)

    def revision(self, model: str) -> str | None:
        """Which weights a model name stands for now, if that is known; empty is the default."""
        return self._revisions.get(model)

    async def refresh(self) -> None:
        """Ask both services; what one does not answer becomes unknown."""
        async with self._refreshing:  # what was asked first must not be heard last
            self._policies, self._revisions = await asyncio.gather(
                self._ask_policies(), self._ask_models()
            )

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            await asyncio.sleep(_REFRESH_S)
            await self.refresh()

    async def _ask_policies(self) -> dict[str, PolicyFacts]:
        request = guard_pb.ListPoliciesRequest()
        try:
            response = await self._guard.ListPolicies(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self._log.debug("catalogue.no_policies", code=error.code().name)
            return {}
        return {
            policy.name: PolicyFacts(digest=policy.digest, rewrites_input=policy.rewrites_input)
            for policy in response.policies
        }

    async def _ask_models(self) -> dict[str, str]:
        request = model_pb.ListModelsRequest()
        try:
            response = await self._model.ListModels(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self._log.debug("catalogue.no_models", code=error.code().name)
            return {}
        revisions = {model.name: f"{model.name}@{model.revision}" for model in response.models}
        for model in response.models:
            if model.is_default:
                revisions[""] = revisions[model.name]
        return revisions
