"""Cases that guardrails put before a person: read, decided, and turned into labelled texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc

from vedette.errors import from_rpc_error
from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from types import TracebackType
    from typing import Self, TypeVar

    _Answer = TypeVar("_Answer")

__all__ = ["Reviews", "labelled"]

_DEADLINE_S: Final = 30.0
_PAGE: Final = 200
_MAX_RECEIVED_BYTES: Final = 32 * 1024 * 1024


class Reviews:
    """The cases of one tenant at one guardrails service. Every call may raise `VedetteError`."""

    def __init__(
        self, target: str, *, tenant: str, tls: grpc.ChannelCredentials | None = None
    ) -> None:
        """Call this address; without `tls` in plain text."""
        options = [("grpc.max_receive_message_length", _MAX_RECEIVED_BYTES)]
        self._channel = (
            grpc.aio.insecure_channel(target, options=options)
            if tls is None
            else grpc.aio.secure_channel(target, tls, options=options)
        )
        self._stub: stubs.GuardrailsServiceAsyncStub = stubs.GuardrailsServiceStub(self._channel)
        self._tenant = tenant

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def pages(
        self, state: pb.ReviewState.ValueType = pb.REVIEW_STATE_UNSPECIFIED
    ) -> AsyncIterator[pb.ListReviewsResponse]:
        """All cases in a state, oldest first, some at a time."""
        token = ""
        while True:
            page = await _answered(
                self._stub.ListReviews(
                    pb.ListReviewsRequest(
                        state=state, page_size=_PAGE, page_token=token, tenant=self._tenant
                    ),
                    timeout=_DEADLINE_S,
                )
            )
            yield page
            token = page.next_page_token
            if not token:
                return

    async def case(self, review_id: str) -> pb.Review | None:
        """One case, if it is there."""
        request = pb.ListReviewsRequest(tenant=self._tenant, review_id=review_id)
        page = await _answered(self._stub.ListReviews(request, timeout=_DEADLINE_S))
        return page.reviews[0] if page.reviews else None

    async def resolve(
        self, review_id: str, state: pb.ReviewState.ValueType, *, by: str
    ) -> pb.Review:
        """Write down a decision."""
        request = pb.ResolveReviewRequest(
            review_id=review_id, state=state, resolved_by=by, tenant=self._tenant
        )
        return (await _answered(self._stub.ResolveReview(request, timeout=_DEADLINE_S))).review


def labelled(review: pb.Review) -> dict[str, Any] | None:
    """A decided case as a row of training or measurement; None if its text was not kept.

    The label is 1 where the guard was right; the categories say about what.
    """
    if not review.HasField("text") or review.state not in _LABELS:
        return None
    asked = [finding for finding in review.findings if finding.action == pb.ACTION_REVIEW]
    return {
        "text": review.text,
        "label": _LABELS[review.state],
        "role": pb.Role.Name(review.role).removeprefix("ROLE_").lower(),
        "meta": {
            "family": "review",
            "categories": sorted({finding.category for finding in asked}),
            "detectors": sorted({finding.detector for finding in asked}),
            "direction": pb.Direction.Name(review.direction).removeprefix("DIRECTION_").lower(),
            "review_id": review.review_id,
            "policy_digest": review.policy_digest,
            "text_sha256": review.text_sha256,
        },
    }


_LABELS: Final = {pb.REVIEW_STATE_ACCEPTED: 0, pb.REVIEW_STATE_REJECTED: 1}


async def _answered(call: Awaitable[_Answer]) -> _Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
