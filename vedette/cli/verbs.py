"""How the help of a verb looks: what an option takes in capitals, and nothing for a flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup, TyperOption

__all__ = ["Group", "Verb"]

_VALUES: Final = {str: "TEXT", int: "N", float: "NUMBER", Path: "PATH"}


class Verb(TyperCommand):
    """A command whose help says `--json` and `--seed N`, not `--json <bool>` and `--seed <int>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As the library's."""
        return _with_values(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands, with the same help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As the library's."""
        return _with_values(super().get_params(ctx))


def _with_values(params: list[Any]) -> list[Any]:
    for param in params:
        if isinstance(param, TyperOption):
            if param.is_flag:
                param.metavar = ""
            elif param.metavar is None:
                param.metavar = _VALUES.get(param.type_descriptor.annotation)
    return params
