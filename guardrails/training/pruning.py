"""Takes the least important attention heads and neurons out of a model.

How important one is: how much the loss would change without it, to first order, which is the
derivative by a factor on its output (arXiv:1905.10650 for heads, arXiv:1906.10771 for neurons).
That is the sum, over the weights that read the output, of each times its own derivative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from .model import HEAD_WIDTH, GuardModel, Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor, nn

    from .batches import Batch
    from .model import Shape

__all__ = ["pruned"]

_KEPT_WHOLE = ("words", "positions", "embedding_norm", "attention", "evidence")
_MIXING = ("query", "key", "value")


def pruned(
    model: GuardModel,
    batches: Iterable[Batch],
    shape: Shape,
    *,
    loss: Callable[[GuardModel, Batch], Tensor],
) -> GuardModel:
    """A model of a narrower shape, made of the most important parts of this one.

    Args:
        model: as many layers as the shape, and at least as wide in each.
        batches: texts on which importance is measured.
        shape: how much of each layer to keep.
        loss: what the parts are important for.
    """
    layers = [cast("Layer", layer) for layer in model.layers]
    heads = [torch.zeros(layer.attended.in_features // HEAD_WIDTH) for layer in layers]
    neurons = [torch.zeros(layer.narrow.in_features) for layer in layers]
    for batch in batches:
        model.zero_grad(set_to_none=True)
        loss(model, batch).backward()  # type: ignore[no-untyped-call]
        for at, layer in enumerate(layers):
            heads[at] += _by_column(layer.attended).view(-1, HEAD_WIDTH).sum(1).abs()
            neurons[at] += _by_column(layer.narrow).abs()
    model.zero_grad(set_to_none=True)
    smaller = GuardModel(shape)
    for name in _KEPT_WHOLE:
        getattr(smaller, name).load_state_dict(getattr(model, name).state_dict())
    for at, own in enumerate(smaller.layers):
        _fill(
            cast("Layer", own),
            layers[at],
            heads=_largest(heads[at], shape.attention_heads),
            neurons=_largest(neurons[at], shape.feed_forward),
        )
    return smaller


def _by_column(linear: nn.Linear) -> Tensor:
    assert linear.weight.grad is not None
    return (linear.weight * linear.weight.grad).sum(0).detach()


def _largest(importance: Tensor, count: int) -> Tensor:
    return importance.topk(count).indices.sort().values


@torch.no_grad()
def _fill(own: Layer, whole: Layer, *, heads: Tensor, neurons: Tensor) -> None:
    columns = (heads[:, None] * HEAD_WIDTH + torch.arange(HEAD_WIDTH)).flatten()
    for name in _MIXING:
        kept, given = getattr(own, name), getattr(whole, name)
        kept.weight.copy_(given.weight[columns])
        kept.bias.copy_(given.bias[columns])
    own.attended.weight.copy_(whole.attended.weight[:, columns])
    own.attended.bias.copy_(whole.attended.bias)
    own.wide.weight.copy_(whole.wide.weight[neurons])
    own.wide.bias.copy_(whole.wide.bias[neurons])
    own.narrow.weight.copy_(whole.narrow.weight[:, neurons])
    own.narrow.bias.copy_(whole.narrow.bias)
    own.attended_norm.load_state_dict(whole.attended_norm.state_dict())
    own.norm.load_state_dict(whole.norm.state_dict())
