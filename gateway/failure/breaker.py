"""A circuit breaker for asyncio: pybreaker's state machine, and everything else done here.

Used as it comes, pybreaker books a coroutine as a success before it ran, counts a cancelled call
as a failure and swallows the cancellation, lets every caller through when half open, and goes by
the wall clock. So it is only told outcomes, one at a time, and asked for its state.

A call has a `Pass`. In the end it succeeded, failed, or neither: a call that was cancelled says
nothing about the other side. While the breaker is half open one probe is let through, and only
the probe's outcome counts; late news of calls from before does not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import pybreaker

from servicekit import logs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Breaker", "BreakerOpenError", "Pass"]

_NEVER = 10**9


class BreakerOpenError(Exception):
    """The call is not to be made now."""

    def __init__(self, retry_after_s: float) -> None:
        """Say when a call may be let through."""
        self.retry_after_s = retry_after_s
        super().__init__(f"open for another {retry_after_s:.2f} s")


class Pass(Protocol):
    """Permission for one call; exactly one of these is told."""

    def succeeded(self) -> None:
        """The other side answered."""

    def failed(self) -> None:
        """The other side did not do its work."""

    def left(self) -> None:
        """The call ended for reasons of this side."""


class Breaker:
    """Stops calls to something that fails, and finds out when it works again."""

    def __init__(
        self,
        name: str,
        *,
        fail_max: int,
        reset_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open after `fail_max` failures in a row; let a probe through after `reset_s`."""
        self.name = name
        # `closed`, `open` or `half-open`, as the machine last said.
        self.state: str = pybreaker.STATE_CLOSED
        self._reset_s = reset_s
        self._now = now
        self._opened_s = 0.0
        self._probe: _Pass | None = None
        # Time is kept here, by an injected clock; the machine's own never comes.
        self._machine = pybreaker.CircuitBreaker(
            fail_max=fail_max,
            reset_timeout=_NEVER,
            throw_new_error_on_trip=False,
            listeners=[_Listener(self)],
            name=name,
        )

    @property
    def _is_closed(self) -> bool:
        return self.state == pybreaker.STATE_CLOSED

    def admit(self) -> Pass:
        """Permission for one call.

        Raises:
            BreakerOpenError: not now.
        """
        if self.state == pybreaker.STATE_OPEN:
            rest_s = self._opened_s + self._reset_s - self._now()
            if rest_s > 0:
                raise BreakerOpenError(rest_s)
            self._machine.half_open()
        admitted = _Pass(self)
        if self.state == pybreaker.STATE_HALF_OPEN:
            if self._probe is not None:
                raise BreakerOpenError(self._reset_s)
            self._probe = admitted
        return admitted

    def record(self, of: _Pass, *, error: Exception | None) -> None:
        """Tell the machine an outcome, if it still counts."""
        counts = self._is_closed or of is self._probe
        self.forget(of)
        if not counts or (error is None and not self._machine.fail_counter and self._is_closed):
            return
        try:
            self._machine.call(_raise, error)
        except _CallFailedError:
            return  # what it was told, handed back

    def note_failure(self) -> None:
        """A call that had been let through and had succeeded so far has failed after all."""
        self.record(_Pass(self), error=_CallFailedError())

    def forget(self, of: _Pass) -> None:
        """This call does not count; if it was the probe, another may be."""
        if of is self._probe:
            self._probe = None

    def became(self, state: str) -> None:
        """The machine changed its state."""
        self.state = state
        if state == pybreaker.STATE_OPEN:
            self._opened_s = self._now()


class _Pass:
    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def succeeded(self) -> None:
        self._breaker.record(self, error=None)

    def failed(self) -> None:
        self._breaker.record(self, error=_CallFailedError())

    def left(self) -> None:
        self._breaker.forget(self)


class _CallFailedError(Exception):
    """Stands for any failure; the machine needs none of its details."""


class _Listener(pybreaker.CircuitBreakerListener):
    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,  # noqa: ARG002 - the library's signature
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self._breaker.became(new_state.name)
        logs.get().warning(
            "breaker.changed",
            part=self._breaker.name,
            old=old_state and old_state.name,
            new=new_state.name,
        )


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
