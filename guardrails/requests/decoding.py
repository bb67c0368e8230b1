"""Text that arrives as characters or as UTF-8 whose characters may be split between pieces."""

from __future__ import annotations

import codecs

__all__ = ["SplitUtf8", "TextDecoder"]


class SplitUtf8(ValueError):
    """The bytes are not UTF-8, or a character was left unfinished."""


class TextDecoder:
    """Joins pieces to characters."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        """Begin a text."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")

    def characters(self, piece: str) -> str:
        """A piece of characters.

        Raises:
            SplitUtf8: if the bytes before it ended inside a character.
        """
        self.finish()
        return piece

    def utf8(self, piece: bytes) -> str:
        """The characters that this piece completes.

        Raises:
            SplitUtf8: if the bytes are not UTF-8.
        """
        try:
            return self._decoder.decode(piece)
        except UnicodeDecodeError:
            # The cause would quote the bytes.
            raise SplitUtf8("the bytes are not valid UTF-8") from None

    def finish(self) -> None:
        """The text ends or goes on as characters.

        Raises:
            SplitUtf8: if it ended inside a character.
        """
        if self._decoder.getstate()[0]:
            raise SplitUtf8("the bytes end inside a character")
