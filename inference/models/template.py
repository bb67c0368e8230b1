"""Chat templates: the Jinja dialect in which models of the hub say how a conversation is written.

A template is somebody else's program, so it runs in Jinja's sandbox and cannot change what it is
given. What it may use besides Jinja itself is what transformers offers to templates: the functions
`raise_exception` and `strftime_now`, a `tojson` that keeps characters as they are, `break` and
`continue`, and `generation` blocks, which mark an answer for training and change nothing here.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template
    from jinja2.nodes import Node
    from jinja2.parser import Parser

__all__ = ["ChatTemplate", "TemplateRefusedError"]


class TemplateRefusedError(Exception):
    """The model's chat template does not take this order of roles."""


class ChatTemplate:
    """Writes a conversation as one text. Safe to use from several threads."""

    def __init__(self, source: str, *, tokens: Mapping[str, str]) -> None:
        """Keep the source, which is compiled when it is first used.

        Args:
            source: the template.
            tokens: what it may name, for example `bos_token`.
        """
        self._source = source
        self._tokens = tokens
        self._environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, LoopControlExtension]
        )
        self._environment.filters["tojson"] = _to_json
        self._environment.globals |= {"raise_exception": _raise, "strftime_now": _now}

    def render(self, turns: Sequence[Mapping[str, str]]) -> str:
        """The text that asks for the next turn.

        Args:
            turns: each with `role` and `content`.

        Raises:
            TemplateRefusedError: if the template does not take them, or is none.
        """
        try:
            return self._compiled.render(messages=turns, add_generation_prompt=True, **self._tokens)
        except TemplateError as error:
            raise TemplateRefusedError from error

    @cached_property
    def _compiled(self) -> Template:
        return self._environment.from_string(self._source)


class _Generation(Extension):
    """Blocks that stand for what is inside them."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 - a date as the model's user has it


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **options})
