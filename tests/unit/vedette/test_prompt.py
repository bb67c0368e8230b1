"""What a prompt may be written as."""

from __future__ import annotations

import pytest

from vedette import Message, Role, assistant, document, system, tool, user
from vedette.gateway.v1.gateway_pb2 import Sampling
from vedette.prompt import SamplingOptions, as_messages


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Hi", [Message(role=Role.ROLE_USER, text="Hi")]),
        (system("Be brief."), [Message(role=Role.ROLE_SYSTEM, text="Be brief.")]),
        (
            (tool("42"), document("A page."), assistant("Yes."), user("Why?")),
            [
                Message(role=Role.ROLE_TOOL, text="42"),
                Message(role=Role.ROLE_DOCUMENT, text="A page."),
                Message(role=Role.ROLE_ASSISTANT, text="Yes."),
                Message(role=Role.ROLE_USER, text="Why?"),
            ],
        ),
    ],
    ids=["a string is the user's", "one message", "a conversation keeps its order"],
)
def test_a_prompt_becomes_messages(prompt, expected):
    """A string, a message or several are all prompts."""
    assert as_messages(prompt) == expected


def test_every_sampling_field_can_be_given_by_keyword():
    """The keywords of generate and stream are exactly the fields of Sampling."""
    assert SamplingOptions.__optional_keys__ == set(Sampling.DESCRIPTOR.fields_by_name)
