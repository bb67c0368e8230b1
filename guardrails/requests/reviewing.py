"""Who may work on cases, and what such a call must be before anything is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.review import ReviewState
from guardrails.wire import REVIEW_STATES
from servicekit.errors import InvalidArgument, PermissionDenied, Violation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from vedette.guardrails.v1 import guardrails_pb2 as pb

__all__ = ["Listing", "Reviewers", "decision_of", "listing_of"]

_USUAL_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000
_REVIEW_ID: Final = re.compile(r"rev-[0-9a-f]{12}-[0-9a-f]{16}")
_PERSON: Final = re.compile(r"[\w.@:/-]{1,128}")
_SAN: Final = "x509_subject_alternative_name"


class Reviewers:
    """Knows by their certificates who may read and decide cases."""

    def __init__(self, names: Collection[str]) -> None:
        """Let callers with one of these names in; without names, whoever reaches this service."""
        self._names = frozenset(names)

    def require(self, certificate: Mapping[str, Iterable[bytes]]) -> None:
        """Refuse a caller who may not.

        Raises:
            PermissionDenied: none of the names in the certificate is a reviewer's.
        """
        shown = {name.decode(errors="replace") for name in certificate.get(_SAN, ())}
        if self._names and not shown & self._names:
            raise PermissionDenied(reason="NOT_A_REVIEWER")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which cases are asked for."""

    tenant: str
    state: ReviewState | None
    after: str
    size: int
    review_id: str


def listing_of(request: pb.ListReviewsRequest) -> Listing:
    """Admit a request for cases.

    Raises:
        InvalidArgument: naming every field at fault.
    """
    violations = []
    if request.state and request.state not in REVIEW_STATES:
        violations.append(Violation("state", "must be a value of ReviewState"))
    if not 0 <= request.page_size <= _LARGEST_PAGE:
        rule = f"must be 1 to {_LARGEST_PAGE}, or 0 for {_USUAL_PAGE}"
        violations.append(Violation("page_size", rule))
    if request.page_token and not _REVIEW_ID.fullmatch(request.page_token):
        violations.append(Violation("page_token", "must come from an earlier response"))
    if violations:
        raise InvalidArgument(violations)
    return Listing(
        tenant=request.tenant,
        state=REVIEW_STATES.get(request.state),
        after=request.page_token,
        size=request.page_size or _USUAL_PAGE,
        review_id=request.review_id,
    )


def decision_of(request: pb.ResolveReviewRequest) -> ReviewState:
    """Admit a decision.

    Raises:
        InvalidArgument: naming every field at fault.
    """
    violations = []
    state = REVIEW_STATES.get(request.state)
    if state is None or state is ReviewState.PENDING:
        rule = "must be REVIEW_STATE_ACCEPTED or REVIEW_STATE_REJECTED"
        violations.append(Violation("state", rule))
    if not request.review_id:
        violations.append(Violation("review_id", "must name a case; ListReviews tells which"))
    if not _PERSON.fullmatch(request.resolved_by):
        rule = "must say who decided, in 1 to 128 letters, digits and characters of _.@:/-"
        violations.append(Violation("resolved_by", rule))
    if state is None or violations:
        raise InvalidArgument(violations)
    return state
