"""Types that bear one name in several packages agree on the wire.

Each package stands alone (docs/adr/0001), so `Role`, `Finding`, `Sampling` and their kin are
written more than once. A package may know more fields of a type than another; what two of them
both know, they know alike, and no number means different things in two of them.
"""

from __future__ import annotations

import itertools

import pytest

from vedette.gateway.v1 import gateway_pb2
from vedette.guardrails.v1 import guardrails_pb2
from vedette.inference.v1 import inference_pb2

FILES = {
    "gateway": gateway_pb2.DESCRIPTOR,
    "guardrails": guardrails_pb2.DESCRIPTOR,
    "inference": inference_pb2.DESCRIPTOR,
}

# One name, two meanings: each service's own calls, and events of streams that differ by intent.
OWN = {
    "CountTokensRequest",
    "CountTokensResponse",
    "Delta",
    "Final",
    "GenerateRequest",
    "GenerateResponse",
    "Started",
    "StreamGenerateRequest",
    "StreamGenerateResponse",
}


def _pairs(attribute):
    for (left, a), (right, b) in itertools.combinations(FILES.items(), 2):
        left_types, right_types = getattr(a, attribute), getattr(b, attribute)
        for name in sorted({*left_types} & {*right_types} - OWN):
            yield pytest.param(left_types[name], right_types[name], id=f"{name}-{left}-{right}")


def _type_name(field):
    kind = field.message_type or field.enum_type
    return kind.name if kind else field.type


def _shape(field):
    oneof = field.containing_oneof.name if field.containing_oneof else None
    return (field.number, _type_name(field), field.is_repeated, field.has_presence, oneof)


@pytest.mark.parametrize(("left", "right"), list(_pairs("message_types_by_name")))
def test_messages_of_one_name_agree(left, right):
    """Fields of one name agree in number, type and label, and one message extends the other."""
    fields = [{field.name: _shape(field) for field in message.fields} for message in (left, right)]
    smaller, larger = sorted(fields, key=len)
    assert smaller == {name: larger.get(name) for name in smaller}


@pytest.mark.parametrize(("left", "right"), list(_pairs("enum_types_by_name")))
def test_enums_of_one_name_agree(left, right):
    """Enums of one name have the same values."""
    assert {value.name: value.number for value in left.values} == {
        value.name: value.number for value in right.values
    }


def test_the_exceptions_are_needed():
    """Every type that is excused from agreeing exists in more than one package."""
    names = [name for file in FILES.values() for name in file.message_types_by_name]
    assert {name for name in OWN if names.count(name) < 2} == set()
