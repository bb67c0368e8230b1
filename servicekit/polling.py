"""Which of grpc's two ways of waiting for the network a service uses.

grpc 1.85 hands each read and write from thread to thread of a pool, its "event engine". Before,
the thread that waits for a message read it itself, and grpc can still be told to. Where a few
processes share a few cores, handing over is a large part of what a message costs: without it a
unary call took 18 to 34 % less processor time at either end, and a message of a stream mostly less
as well (docs/adr/0005-how-services-wait.md).
"""

from __future__ import annotations

from typing import Final

__all__ = ["WITHOUT_HANDOVER"]

# For GRPC_EXPERIMENTS, which grpc reads when it is imported. A grpc that has only the one way says
# so in a line on standard error and goes on with that.
WITHOUT_HANDOVER: Final = "-event_engine_client,-event_engine_listener"
