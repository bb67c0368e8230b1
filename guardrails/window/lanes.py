"""One detector at work on one text, with what the policy wants of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from guardrails.findings import Execution, ExecutionState, Finding, Match, Treatment

from .failures import report

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
    """Runs a scan, keeps its execution, and turns its failures into states.

    The scan begins when it first has to look at something.
    """

    __slots__ = (
        "_busy_s",
        "_clock",
        "_detector",
        "_scan",
        "_score",
        "_skipped_chars",
        "_state",
        "_surroundings",
        "asks",
        "detector",
        "failed",
        "settings",
        "version",
    )

    def __init__(
        self,
        *,
        detector: Detector,
        settings: LaneSettings,
        surroundings: Surroundings,
        clock: Callable[[], float],
    ) -> None:
        """Begin a text."""
        self.detector = detector.name
        self.version = detector.version
        self.settings = settings
        # Whether the detector gave up on this text.
        self.failed = False
        # Whether the scan has questions for a judge.
        self.asks = False
        self._detector = detector
        self._surroundings = surroundings
        self._clock = clock
        self._state = ExecutionState.RAN
        self._busy_s = 0.0
        self._score = 0.0
        self._scan: Scan | None = None
        # What came since the scan looked at something.
        self._skipped_chars = 0

    @property
    def settled(self) -> int | None:
        """How far the detector's matches are final; None once it failed."""
        if self.failed:
            return None
        return self._skipped_chars + (0 if self._scan is None else self._scan.settled)

    @property
    def execution(self) -> Execution:
        """What became of the detector so far."""
        return Execution(
            detector=self.detector,
            version=self.version,
            state=self._state,
            score=self._score,
            busy_s=self._busy_s,
        )

    def push(self, piece: str, *, last: bool, before: str = "") -> list[Finding]:
        """Scan the next piece; return the findings that became final.

        `before` is the end of what was skipped until now, as far as the detector looks back.
        """
        if self.failed:
            return []
        return self._guarded(self._push, piece, last, before)

    def skip(self, piece: str, before: str) -> bool:
        """Take a piece in which there is nothing to find, and which cannot become part of a match.

        That holds if all that came before has settled and reads as `before` at its end. Otherwise
        nothing is taken. For detectors whose scans have `has_settled` and `skip`.
        """
        scan: Any = self._scan
        if not (self._skipped_chars or scan is None or scan.has_settled(before)):
            return False
        self._skipped_chars += len(piece)
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
        if not _is_judged(self._scan):
            return []
        self._busy_s += busy_s
        return self._guarded(self._scan.resolve, number, scores)

    def fail(self, state: ExecutionState) -> None:
        """The detector gave up: it failed or ran out of time."""
        self._state, self._scan, self.failed = state, None, True

    def _push(self, piece: str, last: bool, before: str) -> Sequence[Match]:  # noqa: FBT001 - as `push` says it
        scan: Any = self._scan
        if scan is None:
            scan = self._scan = _open(self._detector, self._surroundings, self.settings)
            self.asks = _is_judged(scan)
        if self._skipped_chars:
            scan.skip(self._skipped_chars, before)
            self._skipped_chars = 0
        matches: Sequence[Match] = scan.push(piece, last=last, timeout_s=self.settings.timeout_s)
        return matches

    def _guarded(self, work: Callable[..., Sequence[Match]], *arguments: Any) -> list[Finding]:
        started = self._clock()
        try:
            matches = work(*arguments)
        except TimeoutError:
            self.fail(ExecutionState.TIMED_OUT)
            return []
        except Exception as error:  # noqa: BLE001 - whatever a detector raises, it did not run
            report(self.detector, error)
            self.fail(ExecutionState.FAILED)
            return []
        finally:
            self._busy_s += self._clock() - started
        return self._findings(matches) if matches else []

    def _findings(self, matches: Sequence[Match]) -> list[Finding]:
        findings = []
        for match in matches:
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


# `isinstance` with a protocol looks through all its members; these are asked for every text.
def _is_judged(scan: Scan | None) -> TypeGuard[JudgedScan]:
    return hasattr(scan, "pending")


def _is_conversational(detector: Detector) -> TypeGuard[ConversationalDetector]:
    return hasattr(detector, "open_in")


def _open(detector: Detector, surroundings: Surroundings, settings: LaneSettings) -> Scan:
    if _is_conversational(detector):
        return detector.open_in(surroundings, overlap_chars=settings.overlap_chars)
    return detector.open()
