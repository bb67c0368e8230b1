"""`python -m inference` serves; `python -m inference pull [NAME]` only fetches a model."""

from __future__ import annotations

import os
import sys

# Threads of one product wait for each other. Spinning while they wait, they take the processor
# from whoever they wait for as soon as anything else runs on this machine: with the gateway and
# the guards beside it, answers were four to six times slower (docs/log.md). OpenMP reads this when
# torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from servicekit.polling import WITHOUT_HANDOVER

os.environ.setdefault("GRPC_EXPERIMENTS", WITHOUT_HANDOVER)

from inference.app import InferenceApp
from inference.pull import pull
from inference.settings import InferenceSettings
from servicekit import process


def main() -> int:
    """Run what the arguments say."""
    match sys.argv[1:]:
        case []:
            return process.main(InferenceSettings, InferenceApp)
        case ["pull"]:
            return pull()
        case ["pull", name]:
            return pull(name)
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main())
