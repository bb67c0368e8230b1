"""The guard's RPCs: the wire on one side, the checker on the other, no decisions in between."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

from servicekit.errors import Unimplemented
from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

from . import wire
from .arriving import config_of, ignore_rest, texts_of
from .faults import domain_faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from .admission import Admission
    from .checking import Checker
    from .observing import Observer
    from .policy import PolicyStore

    Context: TypeAlias = grpc.aio.ServicerContext[object, object]

__all__ = ["GuardrailsService"]


class GuardrailsService(stubs.GuardrailsServiceServicer):
    """Answers `vedette.guardrails.v1.GuardrailsService`."""

    def __init__(
        self, *, admission: Admission, checker: Checker, store: PolicyStore, observer: Observer
    ) -> None:
        """Check with this checker under the policies of this store."""
        self._admission = admission
        self._checker = checker
        self._store = store
        self._observer = observer

    async def CheckText(
        self, request: pb.CheckTextRequest, _context: Context
    ) -> pb.CheckTextResponse:
        """Check whole texts, one after another."""
        admitted = self._admission.check(request)
        with domain_faults(), self._observer.watching(admitted) as watch:
            checked = []
            for text in admitted.texts:
                checked.append(
                    await self._checker.check(
                        admitted.policy,
                        text,
                        direction=admitted.direction,
                        surroundings=admitted.surroundings,
                    )
                )
                watch.add(checked[-1])
        return wire.response(checked, admitted.policy.digest)

    async def StreamCheckText(
        self, request_iterator: AsyncIterator[pb.StreamCheckTextRequest], _context: Context
    ) -> AsyncIterator[pb.StreamCheckTextResponse]:
        """Check one text while it arrives."""
        admitted = self._admission.stream(await config_of(request_iterator))
        with domain_faults():
            check = await self._checker.open(
                admitted.policy,
                direction=admitted.direction,
                role=admitted.role,
                surroundings=admitted.surroundings,
            )
        yield wire.started(check.window, admitted.policy.digest)
        with domain_faults(), self._observer.watching(admitted) as watch:
            watch.add(check.window)
            pieces = texts_of(request_iterator, require_length=self._admission.require_length)
            async with aclosing(check.run(pieces)) as releases:
                async for release in releases:
                    for event in wire.events(release, check.window.settled_chars):
                        yield event
        yield wire.final(check.window)
        await ignore_rest(request_iterator)

    async def RestoreText(
        self, request: pb.RestoreTextRequest, _context: Context
    ) -> pb.RestoreTextResponse:
        """Put values back for placeholders."""
        scope = self._admission.restore(request)
        with domain_faults():
            text, restored = await self._checker.restore(request.text, scope)
        return pb.RestoreTextResponse(text=text, restored=restored)

    async def ListPolicies(
        self, _request: pb.ListPoliciesRequest, _context: Context
    ) -> pb.ListPoliciesResponse:
        """Tell which policies there are."""
        default_name = self._store.default_name
        return pb.ListPoliciesResponse(
            policies=[
                wire.policy(policy, is_default=policy.name == default_name)
                for policy in self._store.all()
            ]
        )

    async def ListReviews(
        self, _request: pb.ListReviewsRequest, _context: Context
    ) -> pb.ListReviewsResponse:
        """Not built yet."""
        raise Unimplemented

    async def ResolveReview(
        self, _request: pb.ResolveReviewRequest, _context: Context
    ) -> pb.ResolveReviewResponse:
        """Not built yet."""
        raise Unimplemented
