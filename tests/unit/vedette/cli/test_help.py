"""What `vedette VERB --help` says."""

from __future__ import annotations

import re
import shlex
from inspect import cleandoc

import pytest
import typer.main
from typer.testing import CliRunner

from vedette.cli import app


def _verbs(group=None, path=()):
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _verbs(command, (*path, name))
        else:
            yield (*path, name), command


VERBS = dict(_verbs())


def _examples(command):
    """The lines below `Examples:` in a verb's help."""
    _, _, examples = cleandoc(command.help).partition("Example")
    for line in examples.splitlines()[1:]:
        yield shlex.split(re.split(r"\s[|<]", line)[0].strip())


EXAMPLES = [(path, words) for path, verb in VERBS.items() for words in _examples(verb)]


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_verb_shows_how_it_is_used(path):
    """Whoever reads the help sees a line to copy."""
    assert list(_examples(VERBS[path])) != []


@pytest.mark.parametrize(("path", "words"), EXAMPLES, ids=" ".join)
def test_the_examples_can_be_typed(path, words):
    """Each is of its own verb, and every option and argument of it is one that the verb takes."""
    words = words[words.index("vedette") + 1 :]
    assert tuple(words[: len(path)]) == path
    VERBS[path].make_context(" ".join(path), words[len(path) :])


@pytest.mark.parametrize("path", [(), *VERBS], ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_options_say_what_they_take(path, option):
    """In capitals, `SECONDS` or `NAME`, and nothing where an option takes nothing."""
    result = CliRunner().invoke(app, [*path, option])
    assert result.exit_code == 0
    assert re.findall(r"--[\w-]+.*<(?:bool|str|int|float)", result.stdout) == []
