"""Bytes that are not a request are answered with the field at fault."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from servicekit.decoding import Undecodable, lenient
from vedette.guardrails.v1 import guardrails_pb2 as guard
from vedette.inference.v1 import inference_pb2 as model

# As long as the bad bytes that take its place, so that all lengths on the wire stay right.
PLACE = "XX-PLACE-XX"
NOT_UTF8 = b"\xff\xfe--BAD--\xfe\xff"


def _decode(message):
    """What becomes of a message after bad bytes took the place of the marked text."""
    kind = type(message)
    data = message.SerializeToString().replace(PLACE.encode(), NOT_UTF8)
    return lenient(kind.FromString, kind)(data)


def _messages(*texts):
    return [model.Message(role=model.ROLE_USER, text=text) for text in texts]


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (model.GetModelRequest(name=PLACE), ["name"]),
        (
            model.GenerateRequest(messages=_messages("good", PLACE, "good")),
            ["messages[1].text"],
        ),
        (
            model.GenerateRequest(model=PLACE, messages=_messages(PLACE)),
            ["model", "messages[0].text"],
        ),
        (
            model.GenerateRequest(sampling=model.Sampling(stop=["good", PLACE])),
            ["sampling.stop[1]"],
        ),
        (
            model.GenerateRequest(sampling=model.Sampling(regex=PLACE)),
            ["sampling.regex"],
        ),
        (guard.StreamCheckTextRequest(text=PLACE), ["text"]),
        (
            guard.StreamCheckTextRequest(
                config=guard.StreamCheckTextConfig(context=[guard.Segment(text=PLACE)])
            ),
            ["config.context[0].text"],
        ),
        (guard.CheckTextRequest(conversation_id=PLACE), ["conversation_id"]),
        (
            model.GenerateRequest(
                tenant=PLACE, sampling=model.Sampling(logit_bias={1: 2.0}, seed=3)
            ),
            ["tenant"],
        ),
    ],
    ids=[
        "plain",
        "in a repeated message",
        "two at once",
        "in a repeated string",
        "in a nested oneof",
        "in a oneof",
        "deeply nested",
        "in an optional",
        "beside a map",
    ],
)
def test_a_string_that_is_not_utf8_is_named(message, fields):
    """The violations name each such field by its path, and say what to do."""
    answer = _decode(message)
    assert isinstance(answer, Undecodable)
    assert [violation.field for violation in answer.violations] == fields
    assert {violation.description for violation in answer.violations} == {
        "must be valid UTF-8; decode or replace the bytes before sending"
    }


def _labelled_type():
    """A message with a map of strings, which the contract has not yet."""
    file = descriptor_pb2.FileDescriptorProto(name="labelled.proto", syntax="proto3")
    message = file.message_type.add(name="Labelled")
    entry = message.nested_type.add(name="LabelsEntry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), start=1):
        entry.field.add(name=name, number=number, type=9, label=1)
    message.field.add(name="labels", number=1, type=11, label=3, type_name=".Labelled.LabelsEntry")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Labelled"))


@pytest.mark.parametrize(
    ("labels", "field"),
    [({PLACE: "good"}, "labels[0].key"), ({"good": PLACE}, "labels[0].value")],
    ids=["key", "value"],
)
def test_a_map_of_strings_is_looked_into(labels, field):
    """Keys and values of maps are strings too."""
    answer = _decode(_labelled_type()(labels=labels))
    assert [violation.field for violation in answer.violations] == [field]


def test_bytes_that_are_no_message_are_called_so():
    """Where no field is at fault the whole is."""
    answer = lenient(model.GenerateRequest.FromString, model.GenerateRequest)(b"\xff\xff\xff")
    assert [(violation.field, violation.description) for violation in answer.violations] == [
        ("", "the bytes are not a message of the expected type")
    ]


def test_an_unknown_type_still_gets_an_answer():
    """Without the type of a request its fields cannot be named, but it is refused the same way."""
    answer = lenient(model.GetModelRequest.FromString, None)(b"\x0a\x02\xff\xff")
    assert len(answer.violations) == 1


def test_a_good_message_is_decoded_as_ever():
    """Bytes that parse become the message."""
    message = model.GenerateRequest(model="m", messages=_messages("Grüße 🙂"))
    decode = lenient(model.GenerateRequest.FromString, model.GenerateRequest)
    assert decode(message.SerializeToString()) == message


@given(data=st.binary(max_size=64))
def test_no_bytes_raise(data):
    """Whatever arrives becomes a message or an Undecodable with at least one violation."""
    answer = lenient(guard.CheckTextRequest.FromString, guard.CheckTextRequest)(data)
    assert isinstance(answer, guard.CheckTextRequest) or answer.violations
