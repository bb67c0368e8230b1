from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch

from guardrails.training.batches import Encoded, batches
from guardrails.training.fitting import FitSettings, _told, fit, label_loss
from guardrails.training.model import HEAD_WIDTH, GuardModel, Shape
from guardrails.training.pruning import pruned
from guardrails.training.rows import HEADS

WIDE = Shape(layers=2, attention_heads=4, feed_forward=64)
SMALL = Shape(layers=2, attention_heads=2, feed_forward=32)
SETTINGS = FitSettings(encoder_rate=1e-3, tokens_per_batch=64, save_every=4)


def quiet(text):
    del text


def rows(count=24):
    rng = Random(3)
    return [
        Encoded(
            [101, *(rng.randrange(1000, 2000) for _ in range(6)), 102],
            [float(at % 2)] * len(HEADS),
            None,
        )
        for at in range(count)
    ]


def trained(saved, settings=SETTINGS, given=None):
    torch.manual_seed(1)
    model = GuardModel(SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, given or rows(), settings, saved=saved, report=quiet)
    return before, model.state_dict()


def test_words_never_move(tmp_path):
    """Words that no row has keep their place among the others."""
    before, after = trained(tmp_path / "state.pt")
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert {"positions", "embedding_norm", "layers", "attention", "evidence"} == moved


def narrowed(wide, given):
    made = batches(given, tokens=64, rng=Random(4))
    return pruned(wide, made, SMALL, loss=label_loss)


def test_pruning_takes_what_the_loss_does_not_need():
    """A model without heads and neurons that say nothing says the same."""
    torch.manual_seed(3)
    wide = GuardModel(WIDE)
    torch.nn.init.normal_(wide.attention.weight)
    with torch.no_grad():
        for layer in wide.layers:
            layer.attended.weight[:, HEAD_WIDTH:-HEAD_WIDTH] = 0
            layer.narrow.weight[:, ::2] = 0
    narrow = narrowed(wide, rows())
    assert SMALL == Shape(
        len(narrow.layers),
        narrow.layers[0].query.out_features // HEAD_WIDTH,
        narrow.layers[0].wide.out_features,
    )
    ids = torch.tensor([row.ids for row in rows()])
    with torch.no_grad():
        expected, read = (each(ids, torch.ones_like(ids)) for each in (wide, narrow))
    assert torch.allclose(expected, read, atol=1e-5)


def test_a_student_follows_its_teacher_where_no_label_says_otherwise(tmp_path):
    """It begins with parts of the teacher, and where nothing is known it learns from it."""
    torch.manual_seed(2)
    teacher = GuardModel(WIDE).eval()
    student = narrowed(teacher, rows())
    given = [Encoded(row.ids, [-1.0] * len(HEADS), None) for row in rows(48)]
    ids = torch.tensor([row.ids for row in given])

    def apart():
        with torch.no_grad():
            told, read = (each.read(ids, torch.ones_like(ids)) for each in (teacher, student))
        return float((told.hidden - read.hidden).square().mean())

    assert torch.equal(teacher.words.weight, student.words.weight)
    before = apart()
    fit(
        student,
        given,
        replace(SETTINGS, epochs=4, averaged=0.5),
        saved=tmp_path / "state.pt",
        report=quiet,
        teacher=teacher,
    )
    assert apart() < 0.5 * before


def test_a_label_outweighs_a_teacher_who_is_wrong():
    """Where both agree they share the word; where they do not, the label has it."""
    labels = torch.tensor([[1.0, 0.0, -1.0, 0.0]])
    taught = torch.tensor([[0.9, 0.8, 0.7, 0.2]])
    wanted, weight = _told(labels, taught)
    assert torch.allclose(torch.tensor([[0.95, 0.0, 0.7, 0.1]]), wanted)
    assert weight.argmin() == 2


def test_a_run_that_was_cut_off_ends_like_one_that_was_not(tmp_path):
    """The state that is kept on the way holds all that the rest of the run needs."""

    class CutOffError(Exception):
        pass

    def cut(text):
        if text.startswith("step 4/"):
            raise CutOffError

    given = rows(48)
    _, whole = trained(tmp_path / "whole.pt", given=given)
    torch.manual_seed(1)
    model = GuardModel(SMALL)
    with pytest.raises(CutOffError):
        fit(model, given, SETTINGS, saved=tmp_path / "state.pt", report=cut)
    torch.manual_seed(1)
    model = GuardModel(SMALL)
    fit(model, given, SETTINGS, saved=tmp_path / "state.pt", report=quiet)
    assert whole.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.allclose(whole[name], value, atol=1e-6), name


def test_batches_hold_every_row_once_and_little_padding():
    """Rows of like length stand together."""
    rng = Random(2)
    given = [Encoded([1] * rng.randint(4, 60), [0.0] * len(HEADS), None) for _ in range(600)]
    made = list(batches(given, tokens=640, rng=rng))
    assert sum(len(row.ids) for row in given) == sum(int(batch.mask.sum()) for batch in made)
    assert sum(batch.ids.numel() for batch in made) < 1.1 * sum(len(row.ids) for row in given)
