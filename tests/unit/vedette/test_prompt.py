"""What a prompt may be written as."""

from __future__ import annotations

import pytest

from vedette import Message, Role, assistant, document, system, tool, user
from vedette.gateway.v1.gateway_pb2 import Sampling
from vedette.prompt import SamplingOptions, as_messages, as_sampling


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


@pytest.mark.parametrize(
    "prompt",
    [["Hi"], [{"role": "user", "content": "Hi"}], [user("Hi"), "Hi"], b"Hi", 3, None],
    ids=["strings", "other people's dicts", "one of them a string", "bytes", "a number", "nothing"],
)
def test_what_is_no_prompt_is_named_with_the_remedy(prompt):
    """Whoever comes from another client learns how messages are made here."""
    with pytest.raises(TypeError, match=r'sequence of messages; make messages by system\("'):
        as_messages(prompt)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"temperatur": 1.0}, TypeError, "temperatur is no sampling option."),
        ({"temperature": "hot"}, TypeError, "temperature: "),
        ({"max_new_tokens": 2**40}, ValueError, "max_new_tokens: "),
    ],
    ids=["misspelt", "of another type", "too large"],
)
def test_a_wrong_option_is_named(options, kind, words):
    """The message says which of the keywords it was."""
    with pytest.raises(kind, match=words):
        as_sampling(options)


def test_options_become_sampling():
    """What is left out stays unset, so that the model's default holds."""
    options = SamplingOptions(max_new_tokens=3, stop=["a", "b"], logit_bias={7: 1.5}, seed=0)
    expected = Sampling(max_new_tokens=3, stop=["a", "b"], logit_bias={7: 1.5}, seed=0)
    assert as_sampling(options) == expected
    assert not as_sampling(options).HasField("temperature")
