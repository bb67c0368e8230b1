"""The dialect of chat templates."""

from __future__ import annotations

import pytest

from inference.models.template import ChatTemplate, TemplateRefusedError

TURNS = [{"role": "user", "content": "schön"}, {"role": "assistant", "content": "ja"}]
FIRST_ONLY = (
    "{% for m in messages %}{% if loop.index0 %}{% break %}{% endif %}{{ m.role }}{% endfor %}"
)
ANSWERS = """{% for m in messages %}
  {% generation %}
{{ m.content }}{% endgeneration %}
{% endfor %}"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("{{ bos_token }}{{ messages[0].content }}", "<s>schön", id="tokens"),
        pytest.param(
            "{{ messages[0] | tojson }}", '{"role": "user", "content": "schön"}', id="json"
        ),
        pytest.param(FIRST_ONLY, "user", id="break"),
        pytest.param(ANSWERS, "schönja", id="generation-and-white-space"),
        pytest.param("{{ strftime_now('%%') }}", "%", id="date"),
        pytest.param("{% if add_generation_prompt %}go on{% endif %}", "go on", id="next-turn"),
    ],
)
def test_templates_of_the_hub_are_understood(source, expected):
    """What transformers offers to templates is there."""
    assert expected == ChatTemplate(source, tokens={"bos_token": "<s>"}).render(TURNS)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("{{ raise_exception('no') }}", id="it-says-so"),
        pytest.param("{% for %}", id="no-template"),
        pytest.param("{{ messages.append(1) }}", id="changes-what-it-was-given"),
        pytest.param("{{ messages.__class__.__mro__ }}", id="reaches-for-the-interpreter"),
    ],
)
def test_what_a_template_must_not_do_refuses_the_roles(source):
    """A template that raises, is none, or leaves its sandbox."""
    with pytest.raises(TemplateRefusedError):
        ChatTemplate(source, tokens={}).render(TURNS)
