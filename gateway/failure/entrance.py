"""A context manager that is one of several, whichever lets in first: what retries and ladders do.

`AsyncExitStack` inside an `asynccontextmanager` would say the same at three times the cost, and
every request passes several of these.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = ["Entrance"]

T = TypeVar("T")


class Entrance(AbstractAsyncContextManager[T], Generic[T]):
    """Entered by a coroutine that tries until something lets it in; left by leaving that."""

    def __init__(self, get_in: Callable[[Entrance[T]], Awaitable[T]]) -> None:
        """Enter by `get_in`, which calls `through` on what it tries; the last counts."""
        self._get_in = get_in
        self._inside: AbstractAsyncContextManager[T] | None = None

    async def through(self, entering: AbstractAsyncContextManager[T]) -> T:
        """Try this one."""
        value = await entering.__aenter__()
        self._inside = entering
        return value

    async def __aenter__(self) -> T:
        return await self._get_in(self)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._inside is not None
        return await self._inside.__aexit__(kind, error, traceback)
