"""The messages of a stream: one config, then text in any pieces."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from servicekit.errors import InvalidArgument, Violation

from .decoding import SplitUtf8, TextDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vedette.guardrails.v1 import guardrails_pb2 as pb

__all__ = ["config_of", "ignore_rest", "texts_of"]

# How long a caller that was sent the final event may go on writing before the call ends under it,
# and how long a silence means that it does not.
_GRACE_S: Final = 1.0
_SILENCE_S: Final = 0.05


async def config_of(
    requests: AsyncIterator[pb.StreamCheckTextRequest],
) -> pb.StreamCheckTextConfig:
    """The config that a stream begins with.

    Raises:
        InvalidArgument: if it begins with something else or with nothing.
    """
    async for request in requests:
        if request.WhichOneof("message") == "config":
            return request.config
        break
    raise InvalidArgument([Violation("config", "must be the first message of the stream")])


async def texts_of(
    requests: AsyncIterator[pb.StreamCheckTextRequest],
    *,
    require_length: Callable[[int, str], None],
) -> AsyncIterator[str]:
    """The text that follows the config, decoded.

    Raises:
        Fault: naming the field at fault.
    """
    decoder, chars = TextDecoder(), 0
    async for request in requests:
        field = request.WhichOneof("message")
        try:
            match field:
                case "text":
                    piece = decoder.characters(request.text)
                case "utf8":
                    piece = decoder.utf8(request.utf8)
                case "config":
                    raise InvalidArgument([Violation("config", "must be sent once, at the start")])
                case _:
                    raise InvalidArgument([Violation("message", "must hold text or utf8")])
        except SplitUtf8 as error:
            raise _malformed(error) from None
        chars += len(piece)
        require_length(chars, field)
        if piece:
            yield piece
    try:
        decoder.finish()
    except SplitUtf8 as error:
        raise _malformed(error) from None


async def ignore_rest(requests: AsyncIterator[pb.StreamCheckTextRequest]) -> None:
    """Read on after the final event until the caller stops writing, leaves, or a second passed.

    A call that ends while its caller writes reads as an internal error in grpc's clients, and
    takes with it the events that they had not read yet.
    """
    with suppress(TimeoutError, StopAsyncIteration, asyncio.CancelledError, InvalidArgument):
        async with asyncio.timeout(_GRACE_S):
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    await anext(requests)


def _malformed(error: SplitUtf8) -> InvalidArgument:
    return InvalidArgument([Violation("utf8", f"{error}; send whole characters in the end")])
