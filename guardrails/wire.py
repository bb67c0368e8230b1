"""The contract's messages on one side, the domain's values on the other."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from vedette.guardrails.v1 import guardrails_pb2 as pb

from .findings import Action, Direction, ExecutionState, Role, Treatment
from .pipeline.checking import summed_up
from .review import ReviewState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .findings import Execution, Finding
    from .pipeline.checking import CheckedText
    from .policy.compiled import CompiledPolicy
    from .review import Case, Page
    from .window.attestation import Attestation
    from .window.window import GuardWindow, Release

__all__ = [
    "DIRECTIONS",
    "REVIEW_STATES",
    "ROLES",
    "events",
    "final",
    "policy",
    "response",
    "review",
    "reviews",
    "started",
]

ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
    pb.ROLE_TOOL: Role.TOOL,
    pb.ROLE_DOCUMENT: Role.DOCUMENT,
}
DIRECTIONS = {
    pb.DIRECTION_INPUT: Direction.INPUT,
    pb.DIRECTION_OUTPUT: Direction.OUTPUT,
}
REVIEW_STATES = {
    pb.REVIEW_STATE_PENDING: ReviewState.PENDING,
    pb.REVIEW_STATE_ACCEPTED: ReviewState.ACCEPTED,
    pb.REVIEW_STATE_REJECTED: ReviewState.REJECTED,
}
ACTIONS = {
    Action.ALLOW: pb.ACTION_ALLOW,
    Action.REDACT: pb.ACTION_REDACT,
    Action.REVIEW: pb.ACTION_REVIEW,
    Action.BLOCK: pb.ACTION_BLOCK,
}
TREATMENTS = {
    Treatment.ALLOW: pb.TREATMENT_ALLOW,
    Treatment.MASK: pb.TREATMENT_MASK,
    Treatment.HASH: pb.TREATMENT_HASH,
    Treatment.PSEUDONYMIZE: pb.TREATMENT_PSEUDONYMIZE,
    Treatment.MARK: pb.TREATMENT_MARK,
    Treatment.DROP: pb.TREATMENT_DROP,
    Treatment.REVIEW: pb.TREATMENT_REVIEW,
    Treatment.HOLD: pb.TREATMENT_HOLD,
    Treatment.BLOCK: pb.TREATMENT_BLOCK,
}
STATES = {
    ExecutionState.RAN: pb.EXECUTION_STATE_RAN,
    ExecutionState.SKIPPED: pb.EXECUTION_STATE_SKIPPED,
    ExecutionState.FAILED: pb.EXECUTION_STATE_FAILED,
    ExecutionState.TIMED_OUT: pb.EXECUTION_STATE_TIMED_OUT,
}


def response(
    checked: Sequence[CheckedText], review_ids: Sequence[str], policy_digest: str
) -> pb.CheckTextResponse:
    """The answer about whole texts."""
    return pb.CheckTextResponse(
        action=ACTIONS[max(each.action for each in checked)],
        segments=[_segment(*each) for each in zip(checked, review_ids, strict=True)],
        executions=_executions(summed_up([each.executions for each in checked])),
        policy_digest=policy_digest,
        attestation=_attestation(checked[0].attestation) if len(checked) == 1 else None,
    )


def started(window: GuardWindow, policy_digest: str) -> pb.StreamCheckTextResponse:
    """The first event of a stream."""
    return pb.StreamCheckTextResponse(
        started=pb.StreamCheckTextStarted(policy_digest=policy_digest, buffered=window.whole)
    )


def final(window: GuardWindow, review_id: str) -> pb.StreamCheckTextResponse:
    """The last event of a stream."""
    return pb.StreamCheckTextResponse(
        final=pb.StreamCheckTextFinal(
            action=ACTIONS[window.action],
            executions=_executions(window.executions),
            attestation=_attestation(window.attest()),
            review_id=review_id,
        )
    )


def _segment(checked: CheckedText, review_id: str) -> pb.SegmentResult:
    """What became of one text."""
    return pb.SegmentResult(
        text=checked.text,
        findings=[_finding(finding) for finding in checked.findings],
        action=ACTIONS[checked.action],
        review_id=review_id,
    )


def events(release: Release, settled_chars: int) -> Iterator[pb.StreamCheckTextResponse]:
    """What a stream tells of one release; nothing if nothing was released."""
    if release.text:
        yield pb.StreamCheckTextResponse(
            release=pb.Release(text=release.text, settled_chars=settled_chars)
        )
    for finding in release.findings:
        yield pb.StreamCheckTextResponse(finding=_finding(finding))


def _executions(values: Iterable[Execution]) -> list[pb.Execution]:
    """What became of each detector."""
    return [
        pb.Execution(
            detector=value.detector,
            state=STATES[value.state],
            score=value.score,
            duration=_duration(value.busy_s),
            version=value.version,
        )
        for value in values
    ]


def _attestation(value: Attestation) -> pb.Attestation:
    """What was scanned and released."""
    return pb.Attestation(
        released_chars=value.released_chars,
        scanned_chars=value.scanned_chars,
        released_sha256=value.released_sha256,
        policy_digest=value.policy_digest,
        detectors=_versions(value.detectors),
    )


def policy(value: CompiledPolicy, *, is_default: bool) -> pb.Policy:
    """What is known about a policy."""
    return pb.Policy(
        name=value.name,
        description=value.description,
        digest=value.digest,
        rewrites_input=value.rewrites_input,
        buffers_output=value.buffers_output,
        detectors=_versions(value.detectors),
        is_default=is_default,
        shadow_of=value.shadow_of,
    )


def reviews(page: Page) -> pb.ListReviewsResponse:
    """Some cases."""
    return pb.ListReviewsResponse(
        reviews=[review(case) for case in page.cases],
        next_page_token=page.next_after,
        evicted=page.evicted,
    )


def review(case: Case) -> pb.Review:
    """A case for a person."""
    return pb.Review(
        review_id=case.review_id,
        state=next(number for number, state in REVIEW_STATES.items() if state is case.state),
        created=_timestamp(case.created_s),
        expires=_timestamp(case.expires_s),
        role=next(number for number, role in ROLES.items() if role is case.role),
        direction=next(number for number, way in DIRECTIONS.items() if way is case.direction),
        findings=[_finding(finding) for finding in case.findings],
        text_sha256=case.text_sha256,
        text=case.text,
        policy_digest=case.policy_digest,
        resolved_by=case.resolved_by,
        request_id=case.request_id,
        resolved=_timestamp(case.resolved_s) if case.resolved_s else None,
    )


def _finding(value: Finding) -> pb.Finding:
    return pb.Finding(
        detector=value.detector,
        category=value.category,
        span=pb.Span(start=value.start, end=value.end),
        score=value.score,
        action=ACTIONS[value.action],
        rule_id=value.rule_id,
        treatment=TREATMENTS[value.treatment],
    )


# A policy has one such list for each direction and role; every answer names it.
@functools.lru_cache(maxsize=256)
def _versions(values: tuple[tuple[str, str], ...]) -> list[pb.DetectorVersion]:
    return [pb.DetectorVersion(detector=name, version=version) for name, version in values]


def _timestamp(seconds: float) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(round(seconds * 1000))
    return timestamp


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(max(0, round(seconds * 1e9)), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)
