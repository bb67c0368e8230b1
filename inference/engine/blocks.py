"""Who holds which block of the key-value cache, and which blocks hold what prompts already.

Pure bookkeeping: the tensors belong to the runner. A block holds the keys and values of
`block_size` consecutive tokens. Full blocks are findable by their content: a block is known by
the block before it and its own tokens, so a hit compares every token of the prefix, and the
first block hangs below the request's salt, so tenants never meet.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BlockPool"]

# What a block hangs below: the salt of its owner, or the serial number of the block before it.
_Parent: TypeAlias = str | int
_Key: TypeAlias = tuple[_Parent, tuple[int, ...]]


@dataclass(slots=True)
class _Content:
    """What a full block holds. The serial number is never used twice, unlike the block's own."""

    serial: int
    key: _Key


class BlockPool:
    """A fixed number of blocks, each free, cached (free, content still findable) or held."""

    def __init__(self, *, num_blocks: int, block_size: int) -> None:
        """All blocks are free."""
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._holders = [0] * num_blocks
        self._contents: list[_Content | None] = [None] * num_blocks
        self._free: deque[int] = deque(range(num_blocks))
        self._cached: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self._findable: dict[_Key, int] = {}
        self._next_serial = 0

    @property
    def num_available(self) -> int:
        """Blocks that nobody holds."""
        return len(self._free) + len(self._cached)

    def blocks_for(self, num_tokens: int) -> int:
        """How many blocks this many tokens take."""
        return -(-num_tokens // self.block_size)

    def fills_block(self, start: int, stop: int) -> bool:
        """Whether computing these places completes a block."""
        return stop // self.block_size > start // self.block_size

    def match(self, tokens: Sequence[int], *, salt: str) -> list[int]:
        """The blocks that already hold the beginning of these tokens; not held yet.

        The last token is never covered: computing it yields the logits of the next one.
        """
        found: list[int] = []
        parent: _Parent = salt
        for start in range(0, len(tokens) - self.block_size, self.block_size):
            block = self._findable.get((parent, tuple(tokens[start : start + self.block_size])))
            if block is None:
                break
            found.append(block)
            parent = self._content(block).serial
        return found

    def hold(self, blocks: Sequence[int]) -> None:
        """Hold blocks that `match` found."""
        for block in blocks:
            if self._holders[block] == 0:
                del self._cached[block]
            self._holders[block] += 1

    def take(self, count: int) -> list[int] | None:
        """Hold this many blocks with no content; None if there are too few."""
        if count > self.num_available:
            return None
        return [self._take_one() for _ in range(count)]

    def release(self, blocks: Sequence[int]) -> None:
        """Let go of blocks, given in the order of their tokens."""
        # The end of a prefix goes before its beginning: it is no use alone.
        for block in reversed(blocks):
            self._holders[block] -= 1
            if self._holders[block] == 0:
                if self._contents[block] is None:
                    self._free.append(block)
                else:
                    self._cached[block] = None

    def publish(self, blocks: Sequence[int], tokens: Sequence[int], *, salt: str) -> None:
        """Make the full blocks of a sequence findable; `tokens` are those computed so far.

        A block whose content another block offers already stays private.
        """
        parent: _Parent = salt
        for index in range(len(tokens) // self.block_size):
            content = self._contents[blocks[index]]
            if content is None:
                start = index * self.block_size
                key = (parent, tuple(tokens[start : start + self.block_size]))
                twin = self._findable.get(key)
                if twin is None:
                    content = self._publish_one(blocks[index], key)
                else:
                    content = self._content(twin)
            parent = content.serial

    def forget(self) -> None:
        """Drop all content, as after a failure that may have spoiled the tensors."""
        self._findable.clear()
        self._contents = [None] * self.num_blocks
        self._free.extend(self._cached)
        self._cached.clear()

    def check_integrity(self) -> None:
        """Raise AssertionError unless every block is in exactly one state and findable rightly."""
        free, cached = set(self._free), set(self._cached)
        held = {block for block, holders in enumerate(self._holders) if holders > 0}
        assert len(free) == len(self._free)
        assert not free & cached
        assert not free & held
        assert not cached & held
        assert free | cached | held == set(range(self.num_blocks))
        assert all(self._contents[block] is None for block in free)
        for key, block in self._findable.items():
            assert self._content(block).key == key
        published = [content for content in self._contents if content is not None]
        assert len(published) == len(self._findable)
        assert len({content.serial for content in published}) == len(published)

    def _content(self, block: int) -> _Content:
        content = self._contents[block]
        assert content is not None
        return content

    def _take_one(self) -> int:
        if self._free:
            block = self._free.popleft()
        else:
            block, _ = self._cached.popitem(last=False)
            del self._findable[self._content(block).key]
            self._contents[block] = None
        self._holders[block] = 1
        return block

    def _publish_one(self, block: int, key: _Key) -> _Content:
        content = self._contents[block] = _Content(self._next_serial, key)
        self._next_serial += 1
        self._findable[key] = block
        return content
