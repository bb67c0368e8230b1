"""A service serves once every part has proven itself, and until it is drained."""

from __future__ import annotations

import itertools

import pytest

from servicekit import logs
from servicekit.health import Health

NAME = "vedette.gateway.v1.GatewayService"


@pytest.fixture
def health():
    return Health([NAME], logs.get())


@pytest.mark.parametrize(
    ("published", "first", "second", "draining"),
    list(itertools.product([False, True], repeat=4)),
)
async def test_the_truth_table(published, first, second, draining, health):
    """Serving takes all of it: published, each component healthy, not draining."""
    parts = [health.component("first"), health.component("second")]
    if published:
        health.publish()
    for part, healthy in zip(parts, (first, second), strict=True):
        part.set(healthy)
    if draining:
        health.drain()
    assert health.serving is (published and first and second and not draining)


async def test_components_start_unhealthy(health):
    """A part that has not spoken counts as broken."""
    health.component("model")
    health.publish()
    assert health.serving is False


async def test_without_components_start_up_decides(health):
    """A service that depends on nothing serves once it is published."""
    health.publish()
    assert health.serving is True


async def test_a_component_can_fall_ill_and_recover(health):
    """Health follows the component both ways."""
    model = health.component("model")
    health.publish()
    seen = []
    for healthy in (True, False, True):
        model.set(healthy)
        seen.append(health.serving)
    assert seen == [True, False, True]


async def test_draining_is_for_good(health):
    """Nothing that a component says brings a draining process back."""
    model = health.component("model")
    health.publish()
    health.drain()
    model.set(True)
    assert health.serving is False


async def test_a_component_is_registered_once(health):
    """Two parts of one name would hide each other."""
    health.component("model")
    with pytest.raises(ValueError, match="'model' is registered twice"):
        health.component("model")
