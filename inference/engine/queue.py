"""Waiting sequences: the most urgent class first, tenants by turns within a class.

Fairness is deficit round robin over tokens: at its turn a tenant may spend a quantum on its
oldest requests, and what it could not spend it keeps for its next turn. A tenant with a thousand
requests waiting therefore delays another tenant's single request by one turn, not by a thousand.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.engine.sequence import Sequence

__all__ = ["FairQueue"]

_QUANTUM_TOKENS = 512


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
        return self._most_urgent().peek()

    def pop(self) -> Sequence:
        """Take what `peek` showed."""
        self._size -= 1
        if self._preempted:
            return self._preempted.popleft()
        return self._most_urgent().pop()

    def remove(self, sequence: Sequence) -> None:
        """Take one out of the middle."""
        self._size -= 1
        if sequence in self._preempted:
            self._preempted.remove(sequence)
        else:
            self._classes[sequence.request.priority].remove(sequence)

    def _most_urgent(self) -> _Turns:
        return self._classes[max(level for level, turns in self._classes.items() if turns)]


class _Turns:
    """The tenants of one priority class, the one whose turn it is first."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, deque[Sequence]] = OrderedDict()
        self._credit: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._tenants)

    def __iter__(self) -> Iterator[Sequence]:
        for sequences in self._tenants.values():
            yield from sequences

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
