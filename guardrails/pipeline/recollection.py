"""What judges said before: every turn of a conversation brings all the earlier ones along.

Kept in this process, by tenant and by a digest of the stretch; never the text.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .checking import Judge

__all__ = ["Recollection"]

_Key = tuple[str, bytes]


class Recollection:
    """Scores by judge, tenant and stretch; of each judge the least used are forgotten."""

    def __init__(self, max_stretches: int) -> None:
        """Remember so many stretches a judge; what a judge said goes when the judge goes."""
        self._max_stretches = max_stretches
        self._said: WeakKeyDictionary[Judge, OrderedDict[_Key, Mapping[str, float]]]
        self._said = WeakKeyDictionary()

    async def scores(self, judge: Judge, text: str, *, tenant: str) -> Mapping[str, float]:
        """What the judge says of a stretch; asked only if this tenant's stretch is not known.

        Raises whatever the judge raises, and remembers nothing of it.
        """
        said = self._said.setdefault(judge, OrderedDict())
        key = tenant, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if key in said:
            said.move_to_end(key)
            return said[key]
        scores = await judge.judge(text)
        said[key] = scores
        if len(said) > self._max_stretches:
            said.popitem(last=False)
        return scores
