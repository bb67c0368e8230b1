"""Waiting sequences: the most urgent class first, tenants by turns within a class.

No class starves. A class that was passed over `_PASSES` times goes next, so of any ten sequences
in a row that leave the queue at least one is of each class that waits. Two classes can be due
at once, hence ten and not nine.

Between tenants, fairness is deficit round robin over tokens: at its turn a tenant may spend a
quantum on its oldest requests, and what it could not spend it keeps for its next turn. A tenant
with a thousand requests waiting therefore delays another tenant's single request by one turn, not
by a thousand.

A preempted sequence goes before everyone, and nobody passes it while it waits for memory, so it
cannot be preempted for ever by those who come after it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.engine.request import Request
    from inference.engine.sequence import Sequence

__all__ = ["FairQueue"]

_QUANTUM_TOKENS = 512
_PASSES = 8


class FairQueue:
    """Sequences in the order in which they should be admitted."""

    def __init__(self) -> None:
        """Start empty."""
        self._preempted: deque[Sequence] = deque()
        self._classes: dict[int, _Turns] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Sequence]:
        yield from self._preempted
        for turns in self._classes.values():
            yield from turns

    def push(self, sequence: Sequence) -> None:
        """Queue behind the tenant's other requests of this class."""
        self._classes.setdefault(sequence.request.priority, _Turns()).push(sequence)
        self._size += 1

    def push_back(self, sequence: Sequence) -> None:
        """Queue a preempted sequence before everyone: it has paid for its turn already."""
        self._preempted.appendleft(sequence)
        self._size += 1

    def peek(self) -> Sequence:
        """The next to be admitted."""
        if self._preempted:
            return self._preempted[0]
        return self._next_class().peek()

    def pop(self) -> Sequence:
        """Take what `peek` showed."""
        self._size -= 1
        if self._preempted:
            return self._preempted.popleft()
        chosen = self._next_class()
        for turns in self._classes.values():
            turns.passed = turns.passed + 1 if turns and turns is not chosen else 0
        return chosen.pop()

    def remove(self, sequence: Sequence) -> None:
        """Take one out of the middle."""
        self._size -= 1
        if sequence in self._preempted:
            self._preempted.remove(sequence)
        else:
            self._classes[sequence.request.priority].remove(sequence)

    def count_before(self, request: Request) -> int:
        """How many would leave before this request in any case: at least, not about."""
        level = request.priority
        own = self._classes[level].count_of(request.tenant) if level in self._classes else 0
        urgent = sum(len(turns) for other, turns in self._classes.items() if other > level)
        return len(self._preempted) + own + min(urgent, _PASSES * own)

    def _next_class(self) -> _Turns:
        waiting = [(level, turns) for level, turns in self._classes.items() if turns]
        due = [turns for _, turns in waiting if turns.passed >= _PASSES]
        if due:
            return max(due, key=lambda turns: turns.passed)
        return max(waiting, key=lambda entry: entry[0])[1]


class _Turns:
    """The tenants of one priority class, the one whose turn it is first."""

    def __init__(self) -> None:
        self.passed = 0  # sequences of other classes that left since one of this class did
        self._tenants: OrderedDict[str, deque[Sequence]] = OrderedDict()
        self._credit: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(len(sequences) for sequences in self._tenants.values())

    def __iter__(self) -> Iterator[Sequence]:
        for sequences in self._tenants.values():
            yield from sequences

    def count_of(self, tenant: str) -> int:
        return len(self._tenants.get(tenant, ()))

    def push(self, sequence: Sequence) -> None:
        self._tenants.setdefault(sequence.request.tenant, deque()).append(sequence)

    def peek(self) -> Sequence:
        """The head of the first tenant that can afford it; each turn passed adds a quantum."""
        while True:
            tenant, sequences = next(iter(self._tenants.items()))
            if len(self._tenants) == 1 or _cost(sequences[0]) <= self._credit.get(tenant, 0):
                return sequences[0]
            self._credit[tenant] = self._credit.get(tenant, 0) + _QUANTUM_TOKENS
            self._tenants.move_to_end(tenant)

    def pop(self) -> Sequence:
        sequence = self.peek()
        tenant = sequence.request.tenant
        self._credit[tenant] = max(0, self._credit.get(tenant, 0) - _cost(sequence))
        self.remove(sequence)
        return sequence

    def remove(self, sequence: Sequence) -> None:
        tenant = sequence.request.tenant
        self._tenants[tenant].remove(sequence)
        if not self._tenants[tenant]:
            # An idle tenant saves nothing up.
            del self._tenants[tenant]
            self._credit.pop(tenant, None)


def _cost(sequence: Sequence) -> int:
    return len(sequence.tokens) + sequence.request.sampling.max_new_tokens
