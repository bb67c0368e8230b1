"""`python -m vedette`: the command."""

from __future__ import annotations

from vedette.cli import main

main()
