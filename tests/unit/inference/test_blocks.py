"""Bookkeeping of cache blocks."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inference.engine.blocks import BlockPool


@pytest.fixture
def pool():
    return BlockPool(num_blocks=4, block_size=2)


def computed(pool, tokens, salt="a"):
    """Blocks with these tokens in them, held."""
    blocks = pool.take(pool.blocks_for(len(tokens)))
    pool.publish(blocks, tokens, salt=salt)
    return blocks


def test_full_blocks_are_found_again(pool):
    """After release a prefix is found block by block, up to the first difference."""
    blocks = computed(pool, [1, 2, 3, 4, 5])
    pool.release(blocks)
    assert blocks[:2] == pool.match([1, 2, 3, 4, 5], salt="a")
    assert blocks[:1] == pool.match([1, 2, 9, 9, 5], salt="a")
    assert [] == pool.match([9, 2, 3, 4, 5], salt="a")


def test_the_last_token_is_never_covered(pool):
    """A whole prompt in the cache still leaves a token to compute."""
    blocks = computed(pool, [1, 2, 3, 4])
    assert blocks[:1] == pool.match([1, 2, 3, 4], salt="a")


def test_tenants_do_not_meet(pool):
    """Another salt finds nothing."""
    computed(pool, [1, 2, 3, 4])
    assert [] == pool.match([1, 2, 3, 4, 5], salt="b")


def test_the_same_block_after_another_beginning_is_not_found(pool):
    """A block is known by what comes before it, too."""
    computed(pool, [1, 2, 3, 4])
    other = computed(pool, [5, 6])
    assert other == pool.match([5, 6, 3, 4, 0], salt="a")


def test_cached_blocks_are_used_last_and_oldest_first(pool):
    """Blocks without content go first; then the content that was not used for longest."""
    old = computed(pool, [1, 2])
    new = computed(pool, [3, 4])
    pool.release(old)
    pool.release(new)
    pool.take(3)
    assert [] == pool.match([1, 2, 0], salt="a")
    assert new == pool.match([3, 4, 0], salt="a")


def test_too_much_is_refused_and_nothing_taken(pool):
    """Asking for more than there is changes nothing."""
    assert pool.take(5) is None
    assert pool.num_available == 4


class AnyUse(RuleBasedStateMachine):
    """Random takes, shares, publications and releases."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(num_blocks=8, block_size=2)
        self.held = []

    @rule(tokens=st.lists(st.integers(0, 1), min_size=1, max_size=9), salt=st.sampled_from("ab"))
    def admit(self, tokens, salt):
        shared = self.pool.match(tokens, salt=salt)
        self.pool.hold(shared)
        fresh = self.pool.take(self.pool.blocks_for(len(tokens)) - len(shared))
        if fresh is None:
            self.pool.release(shared)
            return
        for other, _ in self.held:
            assert not set(fresh) & set(other)
        self.pool.publish(shared + fresh, tokens, salt=salt)
        self.held.append((shared + fresh, tokens))

    @rule(data=st.data())
    def release(self, data):
        if self.held:
            blocks, _ = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
            self.pool.release(blocks)

    @invariant()
    def is_consistent(self):
        self.pool.check_integrity()
        held = {block for blocks, _ in self.held for block in blocks}
        assert self.pool.num_available == self.pool.num_blocks - len(held)


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
