"""The guard's RPCs: the wire on one side, the checker on the other, no decisions in between."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

from . import wire
from .faults import domain_faults
from .requests.arriving import config_of, ignore_rest, texts_of
from .requests.reviewing import decision_of, listing_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from .findings import Role
    from .pipeline.afterwards import Afterwards
    from .pipeline.checking import CheckedText, Checker, StreamedCheck
    from .policy import PolicyStore
    from .requests.admission import Admission, Admitted
    from .requests.reviewing import Reviewers
    from .review import Desk
    from .telemetry.capture import Capture
    from .telemetry.metrics import GuardMetrics
    from .telemetry.monitoring import TextMonitor
    from .telemetry.observing import Observer

    Context: TypeAlias = grpc.aio.ServicerContext[object, object]

__all__ = ["GuardrailsService"]


class GuardrailsService(stubs.GuardrailsServiceServicer):
    """Answers `vedette.guardrails.v1.GuardrailsService`."""

    def __init__(  # noqa: PLR0913 - what the RPCs need
        self,
        *,
        admission: Admission,
        checker: Checker,
        store: PolicyStore,
        observer: Observer,
        afterwards: Afterwards,
        desk: Desk,
        reviewers: Reviewers,
        metrics: GuardMetrics,
        monitor: TextMonitor | None = None,
        capture: Capture | None = None,
    ) -> None:
        """Check with this checker under the policies of this store; the desk has the cases."""
        self._afterwards = afterwards
        self._desk = desk
        self._reviewers = reviewers
        self._metrics = metrics
        self._monitor = monitor
        self._capture = capture
        self._admission = admission
        self._checker = checker
        self._store = store
        self._observer = observer

    async def CheckText(
        self, request: pb.CheckTextRequest, _context: Context
    ) -> pb.CheckTextResponse:
        """Check whole texts, one after another."""
        admitted = self._admission.check(request)
        checked = []
        with domain_faults(), self._observer.watching(admitted) as watch:
            if self._capture is not None:
                await self._capture.note(admitted.texts, admitted.direction)
            for text in admitted.texts:
                checked.append(
                    await self._checker.check(
                        admitted.policy,
                        text,
                        direction=admitted.direction,
                        surroundings=admitted.surroundings,
                        keep_original=self._wants_text(admitted),
                    )
                )
                watch.add(checked[-1])
                if self._monitor is not None:
                    self._monitor.note(text.text, checked[-1], admitted.direction)
                watch.reviews.append(self._note(admitted, text.role, checked[-1]))
        return wire.response(checked, watch.reviews, admitted.policy.digest)

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
                keep_original=self._wants_text(admitted),
            )
        yield wire.started(check.window, admitted.policy.digest)
        with domain_faults(), self._observer.watching(admitted) as watch:
            watch.add(check.window)
            pieces = texts_of(request_iterator, require_length=self._admission.require_length)
            try:
                async with aclosing(check.run(pieces)) as releases:
                    async for release in releases:
                        for event in wire.events(release, check.window.settled_chars):
                            yield event
                if not check.window.whole:
                    self._metrics.held(check.window.most_held_chars)
            finally:  # what a caller read before it left may be a case too
                watch.reviews.append(self._note(admitted, admitted.role, check))
        yield wire.final(check.window, *watch.reviews)
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
        self, request: pb.ListReviewsRequest, context: Context
    ) -> pb.ListReviewsResponse:
        """Show the cases of a tenant."""
        self._reviewers.require(context.auth_context())
        asked = listing_of(request)
        with domain_faults():
            if asked.review_id:
                return wire.reviews(await self._desk.case(asked.tenant, asked.review_id))
            return wire.reviews(
                await self._desk.page(
                    asked.tenant, state=asked.state, after=asked.after, size=asked.size
                )
            )

    async def ResolveReview(
        self, request: pb.ResolveReviewRequest, context: Context
    ) -> pb.ResolveReviewResponse:
        """Write down what a person decided."""
        self._reviewers.require(context.auth_context())
        state = decision_of(request)
        with domain_faults():
            case = await self._desk.resolve(
                request.tenant, request.review_id, state=state, resolved_by=request.resolved_by
            )
        self._metrics.review_decided()
        return pb.ResolveReviewResponse(review=wire.review(case))

    def _wants_text(self, admitted: Admitted) -> bool:
        return self._afterwards.wants_text(admitted.policy, admitted.direction)

    def _note(self, admitted: Admitted, role: Role, outcome: CheckedText | StreamedCheck) -> str:
        return self._afterwards.note(
            outcome,
            policy=admitted.policy,
            direction=admitted.direction,
            role=role,
            surroundings=admitted.surroundings,
        )
