"""Reads settings and starts nothing: `python -m servicekit.mistakes SERVICE...`.

Prints every mistake in the settings of the services, a line each, and exits with 2 if there is one.
"""

from __future__ import annotations

import sys

from servicekit.settings import mistakes, settings_class


def _main(services: list[str]) -> int:
    found = mistakes(*map(settings_class, services))
    for mistake in found:
        print(mistake)  # noqa: T201 - the answer to whoever asked
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
