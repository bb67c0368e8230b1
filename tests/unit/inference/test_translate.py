"""What the border lets through."""

from __future__ import annotations

import math

import pytest

from inference import translate
from inference.backends.weightless import weightless_model
from inference.engine.request import (
    FinishReason,
    Grammar,
    JsonSchema,
    Priority,
    Regex,
    Sampling,
    Timings,
)
from inference.models.card import Quantization
from servicekit.errors import InvalidArgument
from vedette.inference.v1 import inference_pb2 as pb

CARD = weightless_model(text="", delay_s=0, context_length=100, max_new_tokens=50).card


def sampling(**fields):
    return translate.sampling(pb.Sampling(**fields), card=CARD, default_new_tokens=20)


def fields_at_fault(call):
    with pytest.raises(InvalidArgument) as caught:
        call()
    return [violation.field for violation in caught.value.violations]


def test_nothing_asked_gets_the_defaults():
    """Without parameters decoding is greedy and as long as the default."""
    assert Sampling(max_new_tokens=20, seed=sampling(seed=5).seed) == sampling(seed=5)
    assert 5 == sampling(seed=5).seed
    assert sampling().seed != sampling().seed


NAN = math.nan
WRONG = [
    ("max_new_tokens", [0, -1, 51]),
    ("temperature", [-0.1, 2.1, NAN, math.inf]),
    ("top_p", [0, -1, 1.1, NAN]),
    ("top_k", [0, -1]),
    ("min_p", [-0.1, 1.1, NAN]),
    ("repetition_penalty", [0, -1, NAN, math.inf]),
    ("presence_penalty", [-2.1, 2.1, NAN]),
    ("frequency_penalty", [-2.1, 2.1, NAN]),
    ("logprobs", [-1, 21]),
    ("min_new_tokens", [-1, 21]),
]


@pytest.mark.parametrize(
    ("field", "value"),
    [pytest.param(field, value, id=f"{field}={value}") for field, xs in WRONG for value in xs],
)
def test_numbers_out_of_range_are_refused_by_name(field, value):
    """Zero, negative, too large and not a number: the field at fault is named."""
    assert [f"sampling.{field}"] == fields_at_fault(lambda: sampling(**{field: value}))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"stop": ["a", ""]}, ["sampling.stop[1]"], id="empty-stop"),
        pytest.param({"stop": ["a"] * 17}, ["sampling.stop"], id="many-stops"),
        pytest.param({"stop_token_ids": [260]}, ["sampling.stop_token_ids[0]"], id="no-token"),
        pytest.param({"logit_bias": {-1: 0.0}}, ["sampling.logit_bias[-1]"], id="bias-no-token"),
        pytest.param({"logit_bias": {1: NAN}}, ["sampling.logit_bias[1]"], id="bias-nan"),
        pytest.param(
            {"temperature": -1, "top_p": 0},
            ["sampling.temperature", "sampling.top_p"],
            id="all-mistakes-at-once",
        ),
    ],
)
def test_lists_and_maps_are_checked_too(fields, expected):
    """Every entry at fault is named, and all mistakes come together."""
    assert expected == fields_at_fault(lambda: sampling(**fields))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"json_schema": "{}"}, JsonSchema("{}"), id="json"),
        pytest.param({"regex": "a+"}, Regex("a+"), id="regex"),
        pytest.param({"grammar": 'start: "a"'}, Grammar('start: "a"'), id="grammar"),
    ],
)
def test_constraints_keep_their_kind(fields, expected):
    """Schema, regular expression and grammar are told apart."""
    assert expected == sampling(**fields).constraint


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([], ["messages"], id="none"),
        pytest.param([pb.Message(role=pb.ROLE_USER)], ["messages[0].text"], id="no-text"),
        pytest.param([pb.Message(text="a")], ["messages[0].role"], id="no-role"),
        pytest.param([pb.Message(role=99, text="a")], ["messages[0].role"], id="unknown-role"),
    ],
)
def test_conversations_are_checked(messages, expected):
    """A conversation has messages, each with a known role and a text."""
    assert expected == fields_at_fault(lambda: translate.messages(messages))


def test_an_unknown_priority_is_refused():
    """The default is normal, and a number without a name is a mistake."""
    assert Priority.NORMAL is translate.priority(pb.PRIORITY_UNSPECIFIED)
    assert ["priority"] == fields_at_fault(lambda: translate.priority(9))


@pytest.mark.parametrize("reason", FinishReason)
def test_every_finish_reason_has_its_name_in_the_contract(reason):
    """The engine's reasons map to those of the same name."""
    assert f"FINISH_REASON_{reason.name}" == pb.FinishReason.Name(translate.finish_reason(reason))


@pytest.mark.parametrize("quantization", Quantization)
def test_every_quantization_has_its_name_in_the_contract(quantization):
    """The card's quantizations map to those of the same name."""
    import dataclasses

    card = dataclasses.replace(CARD, quantization=quantization)
    message = translate.model(card, is_default=True)
    assert f"QUANTIZATION_{quantization.name}" == pb.Quantization.Name(message.quantization)


def test_phases_that_never_began_are_left_out():
    """A request that was never scheduled has no queue time, no prefill and no decode."""
    message = translate.timings(Timings(arrived_s=1.0, finished_s=2.0))
    assert not message.HasField("queue")
    assert not message.HasField("decode")
