"""How the faults of other services become the gateway's own.

A mistake of the caller that an upstream found is passed on with its fields; everything else
becomes one of two documented answers, because what goes wrong inside is not the caller's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servicekit import errors as faults
from servicekit.errors import Violation
from vedette import errors

if TYPE_CHECKING:
    import grpc

    from servicekit.deadline import Deadline
    from servicekit.errors import Fault

__all__ = ["Upstream"]

# Inference refuses at once what it cannot do in time: nobody waited, and nothing is wrong with it.
_TOO_SHORT = "DEADLINE_TOO_SHORT"


class Upstream:
    """One service that the gateway calls."""

    def __init__(self, name: str, *, renamed_fields: dict[str, str] | None = None) -> None:
        """Name it as callers know it.

        Args:
            name: for example "guardrails".
            renamed_fields: the beginning of its field paths, and what callers know them as.
        """
        self.name = name
        self._renamed_fields = renamed_fields or {}

    @property
    def unavailable_reason(self) -> str:
        """The reason of every fault that says this service is failing."""
        return f"{self.name.upper()}_UNAVAILABLE"

    def fault(self, error: grpc.aio.AioRpcError, deadline: Deadline) -> Fault:
        """What the caller is told about a failed call."""
        problem = errors.from_rpc_error(error)
        match problem:
            case errors.InvalidArgumentError():
                violations = [
                    Violation(self._renamed(violation.field), violation.description)
                    for violation in problem.violations
                ]
                return faults.InvalidArgument(violations, reason=problem.reason)
            case errors.NotFoundError():
                violations = [
                    Violation(self._renamed(violation.field), violation.description)
                    for violation in problem.violations
                ]
                return faults.NotFound(
                    problem.message, reason=problem.reason, violations=violations
                )
            case errors.ExhaustedError():
                return faults.Exhausted(
                    problem.message, reason=problem.reason, retry_after_s=problem.retry_after_s
                )
            case errors.DeadlineExceededError() if problem.reason == _TOO_SHORT:
                return faults.DeadlineExceeded(problem.message, reason=problem.reason)
            case errors.DeadlineExceededError() if deadline.expired:
                return faults.DeadlineExceeded()
        return self.unavailable(problem.retry_after_s)

    def unavailable(self, retry_after_s: float | None = None) -> Fault:
        """The documented answer when this service is down, failing, or too slow."""
        return faults.Unavailable(
            f"The {self.name} service cannot answer now; nothing unchecked was sent.",
            reason=self.unavailable_reason,
            retry_after_s=retry_after_s or 1.0,
        )

    def _renamed(self, field: str) -> str:
        for theirs, ours in self._renamed_fields.items():
            if field.startswith(theirs):
                return ours + field.removeprefix(theirs)
        return field
