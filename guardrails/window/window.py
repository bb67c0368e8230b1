"""The guarded answer, computed while the text arrives.

`push` releases no more than is settled: than what no detector can change its mind about,
whatever follows. Called once with the whole text it is the unary check, called with pieces it is
the stream; nothing here looks at where a piece ends, so both give the same text and findings.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrails.findings import Action, Execution, ExecutionState, Finding

from .attestation import Attestation, Ledger
from .clusters import Cluster, clusters, order
from .graphemes import Edge
from .redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from guardrails.pseudonyms import Restorer

    from .glances import Onlooker
    from .lanes import Lane, Question

__all__ = ["End", "GuardWindow", "Release"]


class End(enum.Enum):
    """How a text ended."""

    FINISHED = "finished"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The next piece of the released text, and the findings that became final with it."""

    text: str
    findings: tuple[Finding, ...]


class GuardWindow:
    """One text under one policy.

    Pure and synchronous. Judges that need to be awaited are asked through `pending` and answered
    through `resolve`, in any order. With `whole`, nothing is released before the text is complete,
    and nothing at all if it is blocked.
    """

    def __init__(  # noqa: PLR0913 - each is a part that a test exchanges
        self,
        lanes: Sequence[Lane],
        *,
        skipped: Sequence[Execution] = (),
        whole: bool,
        policy_digest: str,
        redactor: Redactor | None = None,
        restorer: Restorer | None = None,
        onlooker: Onlooker | None = None,
        rail: Callable[[str, Sequence[Finding]], str] | None = None,
    ) -> None:
        """Begin an empty text.

        Args:
            lanes: the detectors at work on this text.
            skipped: detectors that the policy does not ask for here.
            whole: hold everything until the end.
            policy_digest: which policy this is, for the attestation.
            redactor: rewrites what the policy redacts.
            restorer: puts values back for placeholders in what is released; what it puts back
                is not scanned again.
            onlooker: tells which detectors need not look at a piece.
            rail: what to pass on of a text that is held whole, given its findings.
        """
        self.whole = whole
        self.end: End | None = None
        self.action = Action.ALLOW
        self.settled_chars = 0
        # The most that arrived and could not go at once.
        self.most_held_chars = 0
        self.findings: list[Finding] = []
        self._lanes = tuple(lanes)
        self._skipped = tuple(skipped)
        self._policy_digest = policy_digest
        self._redactor = redactor or Redactor()
        self._restorer = restorer
        self._onlooker = onlooker
        self._rail = rail
        self._edge = Edge()
        self._ledger = Ledger()
        self._complete = False
        self._arrived_chars = 0
        self._scanned_chars = 0
        self._text = ""
        self._base = 0
        self._taken = 0
        self._waiting: list[Finding] = []
        self._held_text: list[str] = []
        self._held_findings: list[Finding] = []

    def push(self, piece: str) -> Release:
        """Take the next piece; release what is settled by now. Ignored after a block.

        Raises:
            RuntimeError: after `finish`; the caller mixed up two texts.
        """
        if self._complete:
            raise RuntimeError("this text is complete; open a new window")
        if self.end is not None:
            return _NOTHING
        words = self._edge.push(piece)
        self._take_in(words)
        settled = self._settled_by_all()
        if settled < self._arrived_chars and any(map(self._waits_for_more, self._lanes)):
            # Part of a word may be enough.
            words += (part := self._edge.clusters())
            self._take_in(part)
            settled = self._settled_by_all()
        release = self._settle(settled) if words else _NOTHING
        held = self._arrived_chars - self._taken + self._edge.held_chars
        self.most_held_chars = max(self.most_held_chars, held)
        return release

    def finish(self, piece: str = "") -> Release:
        """With this piece the text is complete; release it as far as no answer is outstanding.

        Raises:
            RuntimeError: when called twice.
        """
        if self._complete:
            raise RuntimeError("this text is complete already")
        self._complete = True
        if self.end is not None:
            return _NOTHING
        self._take_in(self._edge.push(piece) + self._edge.finish())
        return self._settle(self._settled_by_all())

    def pending(self) -> list[Question]:
        """The questions that wait for an answer; none after a block."""
        if self.end is not None:
            return []
        return [question for lane in self._lanes if lane.asks for question in lane.pending()]

    def resolve(
        self, question: Question, scores: Mapping[str, float], *, busy_s: float = 0.0
    ) -> Release:
        """Take the answer to a question; release what it settles."""
        if self.end is not None:
            return _NOTHING
        for lane in self._lanes:
            if lane.detector == question.detector:
                self._waiting += lane.resolve(question.number, scores, busy_s=busy_s)
        return self._settle(self._settled_by_all())

    def fail(self, detector: str, state: ExecutionState) -> Release:
        """A judge failed or did not answer in time; the policy decides what that means."""
        if self.end is not None:
            return _NOTHING
        for lane in self._lanes:
            if lane.detector == detector:
                lane.fail(state)
        return self._settle(self._settled_by_all())

    def timeout_s(self, detector: str) -> float:
        """How long the policy lets this detector take."""
        return next(lane.settings.timeout_s for lane in self._lanes if lane.detector == detector)

    def fresh_placeholders(self) -> dict[str, str]:
        """Values that became placeholders since the last call; keep them before releasing."""
        return self._redactor.fresh()

    @property
    def executions(self) -> tuple[Execution, ...]:
        """What became of each detector so far."""
        return (*(lane.execution for lane in self._lanes), *self._skipped)

    def attest(self) -> Attestation:
        """What was scanned and released so far."""
        return Attestation(
            released_chars=self._ledger.released_chars,
            scanned_chars=self._scanned_chars,
            released_sha256=self._ledger.released_sha256,
            policy_digest=self._policy_digest,
            detectors=tuple((lane.detector, lane.version) for lane in self._lanes),
        )

    def _take_in(self, piece: str) -> None:
        """Show the piece to the detectors that have to look at it."""
        if not piece and not self._complete:
            return
        self._text += piece
        self._arrived_chars += len(piece)
        last, onlooker, before = self._complete, self._onlooker, ""
        idle: Collection[str] = ()
        if onlooker is not None:
            before, idle = onlooker.before, onlooker.idle(piece, last=last)
            onlooker.passed(piece)
        for lane in self._lanes:
            if not (lane.detector in idle and lane.skip(piece, before)):
                self._waiting += lane.push(piece, last=last, before=before)

    def _waits_for_more(self, lane: Lane) -> bool:
        """Whether a detector waits for text, and not for a judge or a place to ask one."""
        settled = lane.settled
        return not lane.asks and settled is not None and settled < self._arrived_chars

    def _settled_by_all(self) -> int:
        """Up to where every detector is settled that did not give up; that may end the text."""
        least = self._arrived_chars
        for lane in self._lanes:
            settled = lane.settled
            if settled is None:
                if lane.settings.blocks_on_failure:
                    self.action, self.end = Action.BLOCK, End.BLOCKED
            elif settled < least:
                least = settled
        return least

    def _settle(self, settled: int) -> Release:
        """Release up to there, if no finding would be cut in two."""
        if self.end is not None:
            return self._hand_over()
        self.settled_chars = settled
        releasable = self._take_complete(settled)
        if releasable is not None:
            self._keep(self._original(releasable))
            self._forget()
            self._scanned_chars = settled
            if self._complete and settled == self._arrived_chars:
                self.end = End.FINISHED
        return self._hand_over()

    def _take_complete(self, settled: int) -> int | None:
        """Take the clusters that nothing can join any more; up to where text may go, if at all."""
        if not self._waiting:
            return settled
        self._waiting.sort(key=order)
        done = 0
        for cluster in clusters(self._waiting):
            if cluster.end > settled:
                settled = min(settled, cluster.start)
                break
            self._take(cluster)
            if cluster.blocks:
                return None
            done += len(cluster.findings)
        del self._waiting[:done]
        return settled

    def _take(self, cluster: Cluster) -> None:
        self._keep(self._original(cluster.start))
        self._held_findings += cluster.findings
        self.action = max(self.action, *(finding.action for finding in cluster.findings))
        if cluster.blocks:
            self._scanned_chars = self.settled_chars = cluster.end
            self.action, self.end = Action.BLOCK, End.BLOCKED
            return
        for stretch in cluster.replacements():
            self._keep(self._original(stretch.start))
            value = self._original(stretch.end)
            self._keep_rewritten(self._redactor.replacement(stretch.finding, value))
        self._keep(self._original(cluster.end))

    def _original(self, end: int) -> str:
        """The original text from where the last call ended up to `end`."""
        text = self._text[self._taken - self._base : end - self._base]
        self._taken = end
        return text

    def _forget(self) -> None:
        self._text = self._text[self._taken - self._base :]
        self._base = self._taken

    def _keep(self, text: str) -> None:
        """Hold text of the original for release, with values put back for placeholders."""
        restored = text if self._restorer is None else self._restorer.push(text)
        if restored:
            self._held_text.append(restored)

    def _keep_rewritten(self, text: str) -> None:
        """Hold what the policy wrote; no placeholder reaches into it."""
        if self._restorer is not None:
            self._held_text.append(self._restorer.flush())
        self._held_text.append(text)

    def _hand_over(self) -> Release:
        """Give out what is held, unless the whole text has to be seen first."""
        if self.whole and self.end is None:
            return _NOTHING
        if self._restorer is not None and self.end is not None:
            self._held_text.append(self._restorer.flush())
        findings = tuple(self._held_findings)
        text = "" if self.whole and self.end is End.BLOCKED else "".join(self._held_text)
        if self.whole and self.end is End.FINISHED and self._rail is not None:
            text = self._rail(text, findings)
        self.findings += findings
        self._held_text, self._held_findings = [], []
        self._ledger.add(text)
        return Release(text=text, findings=findings)


_NOTHING = Release(text="", findings=())
