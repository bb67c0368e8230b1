"""One detector at work on one text, with what the policy wants of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, TypeVar

from .failures import report
from .findings import Execution, ExecutionState, Finding, Match, Treatment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .bands import Bands
    from .surroundings import Surroundings

__all__ = [
    "ConversationalDetector",
    "Detector",
    "JudgedScan",
    "Lane",
    "LaneSettings",
    "Question",
    "Scan",
]

_T = TypeVar("_T")

# Treatments that leave the value in the text.
_SHOWING = frozenset({Treatment.ALLOW, Treatment.MARK, Treatment.REVIEW})


class Scan(Protocol):
    """A detector's work on one text that arrives in pieces."""

    settled: int

    def push(self, piece: str, *, last: bool, timeout_s: float) -> Sequence[Match]:
        """Take the next piece; return the matches that became final.

        Afterwards every match that starts before `settled` has been returned, and no later
        text can change one. With `last` the text is complete; unless answers are outstanding,
        `settled` is then its length.

        Raises:
            TimeoutError: if it took longer than `timeout_s`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A stretch of text that a judge outside the window has to look at."""

    detector: str
    number: int
    text: str


class JudgedScan(Scan, Protocol):
    """A scan that hands out questions, so that a service can batch and await the answers."""

    def pending(self) -> Sequence[tuple[int, str]]:
        """The questions not yet answered: number and text."""

    def resolve(self, number: int, scores: Mapping[str, float]) -> Sequence[Match]:
        """Take the answer to one question, in any order; return the matches that became final."""


class Detector(Protocol):
    """Something that can scan texts."""

    name: str
    version: str
    categories: frozenset[str]

    def open(self) -> Scan:
        """Begin a text."""


class ConversationalDetector(Detector, Protocol):
    """A detector that compares a text with the conversation it belongs to."""

    def open_in(self, surroundings: Surroundings, *, overlap_chars: int) -> Scan:
        """Begin a text in these surroundings; shorter overlaps than this do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """What a policy says about one detector in one direction."""

    bands: Bands
    categories: Mapping[str, Bands]
    blocks_on_failure: bool
    timeout_s: float
    overlap_chars: int = 64
    sees: frozenset[str] | None = None

    def treatment_of(self, category: str, score: float) -> Treatment | None:
        """What to do with a match, if anything; what a purpose must not see is masked."""
        treatment = self.categories.get(category, self.bands).treatment_of(score)
        if self.sees is None or category in self.sees or treatment not in _SHOWING:
            return treatment
        return Treatment.MASK

    @property
    def treatments(self) -> frozenset[Treatment]:
        """Every treatment that can occur."""
        return self.bands.treatments.union(*(each.treatments for each in self.categories.values()))


class Lane:
    """Runs a scan, keeps its execution, and turns its failures into states."""

    def __init__(
        self,
        *,
        detector: Detector,
        settings: LaneSettings,
        surroundings: Surroundings,
        clock: Callable[[], float],
    ) -> None:
        """Begin a text; a detector that fails here has failed, not passed."""
        self.detector = detector.name
        self.settings = settings
        self._version = detector.version
        self._clock = clock
        self._state = ExecutionState.RAN
        self._busy_s = 0.0
        self._score = 0.0
        self._scan: Scan | None = None
        self._scan = self._guarded(lambda: _open(detector, surroundings, settings))

    @property
    def failed(self) -> bool:
        """Whether the detector gave up on this text."""
        return self._scan is None

    @property
    def settled(self) -> int | None:
        """How far the detector's matches are final; None once it failed."""
        return None if self._scan is None else self._scan.settled

    @property
    def execution(self) -> Execution:
        """What became of the detector so far."""
        return Execution(
            detector=self.detector,
            version=self._version,
            state=self._state,
            score=self._score,
            busy_s=self._busy_s,
        )

    def push(self, piece: str, *, last: bool) -> list[Finding]:
        """Scan the next piece; return the findings that became final."""
        scan, timeout_s = self._scan, self.settings.timeout_s
        if scan is None:
            return []
        return self._findings(
            self._guarded(lambda: scan.push(piece, last=last, timeout_s=timeout_s))
        )

    def skip(self, piece: str, before: str) -> bool:
        """Take a piece in which there is nothing to find, and which cannot become part of a match.

        False, and nothing is taken, if that holds only where all of `before` has settled, and
        something of it has not.
        """
        scan: Any = self._scan
        if scan is None:
            return True
        if not scan.has_settled(before):
            return False
        scan.skip(piece)
        return True

    def pending(self) -> list[Question]:
        """The questions that wait for an answer."""
        scan = self._scan
        if not _is_judged(scan):
            return []
        return [
            Question(detector=self.detector, number=number, text=text)
            for number, text in scan.pending()
        ]

    def resolve(self, number: int, scores: Mapping[str, float], *, busy_s: float) -> list[Finding]:
        """Take the answer to a question; return the findings that became final."""
        scan = self._scan
        if not _is_judged(scan):
            return []
        self._busy_s += busy_s
        return self._findings(self._guarded(lambda: scan.resolve(number, scores)))

    def fail(self, state: ExecutionState) -> None:
        """The detector gave up: it failed or ran out of time."""
        self._state, self._scan = state, None

    def _findings(self, matches: Sequence[Match] | None) -> list[Finding]:
        findings = []
        for match in matches or ():
            self._score = max(self._score, match.score)
            treatment = self.settings.treatment_of(match.category, match.score)
            if treatment is not None:
                findings.append(self._finding(match, treatment))
        return findings

    def _finding(self, match: Match, treatment: Treatment) -> Finding:
        return Finding(
            detector=self.detector,
            category=match.category,
            rule_id=match.rule_id,
            start=match.start,
            end=match.end,
            score=match.score,
            treatment=treatment,
        )

    def _guarded(self, work: Callable[[], _T]) -> _T | None:
        started = self._clock()
        try:
            return work()
        except TimeoutError:
            self.fail(ExecutionState.TIMED_OUT)
        except Exception as error:  # noqa: BLE001 - whatever a detector raises, it did not run
            report(self.detector, error)
            self.fail(ExecutionState.FAILED)
        finally:
            self._busy_s += self._clock() - started
        return None


# `isinstance` with a protocol looks through all its members; these are asked for every text.
def _is_judged(scan: Scan | None) -> TypeGuard[JudgedScan]:
    return hasattr(scan, "pending")


def _is_conversational(detector: Detector) -> TypeGuard[ConversationalDetector]:
    return hasattr(detector, "open_in")


def _open(detector: Detector, surroundings: Surroundings, settings: LaneSettings) -> Scan:
    if _is_conversational(detector):
        return detector.open_in(surroundings, overlap_chars=settings.overlap_chars)
    return detector.open()
