"""Answers that come compressed although nobody asked for it, and a ``Content-Encoding`` that names none."""

from __future__ import annotations

import itertools
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# So much of a compressed answer is decompressed at a time.
_CHUNK_BYTES = 64 * 1024

GZIP = b"\x1f\x8b"
_KNOWN = ("gzip", "x-gzip", "deflate")
_MOST_CODINGS = 4
# Nothing, and what belongs into other headers: character sets, transfer encodings.
_NO_CODING = r"|identity|none|binary|[78]bit|utf-?8|us-ascii|iso-8859-\d+|(?:aws-)?chunked"
# Text has no other control characters; a compressed body has some in its first bytes, but for a very rare one.
_NO_TEXT = rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]"


def codings(headers: Mapping[str, str]) -> list[str]:
    """Return the names in ``Content-Encoding``, but for those that mean that nothing was done."""
    named = (name.strip().lower() for name in headers.get("content-encoding", "").split(","))
    return [name for name in named if not re.fullmatch(_NO_CODING, name)][:_MOST_CODINGS]


def inflate(chunks: Iterator[bytes], named: list[str]) -> Iterator[bytes]:
    """Undo these codings, the last one first, as the body comes; even a bomb is never held in memory.

    A coding that is not known here may be none, such as ``utf-8``: then a text is passed on as it is. What can be
    neither decompressed nor read as it is raises zlib.error.
    """
    for coding in reversed(named):
        chunks = _inflate(chunks, coding)
    return chunks


def _inflate(chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) > 1:
            break
    if not head:
        return
    bits = _window(head, coding)
    if bits is None:
        if coding in _KNOWN or re.search(_NO_TEXT, head[:_CHUNK_BYTES]):
            raise zlib.error
        yield head
        yield from chunks
        return
    inflater = zlib.decompressobj(bits)
    for rest in itertools.chain([head], chunks):
        while rest:
            if inflater.eof:  # gzip may consist of several members (RFC 1952 section 2.2)
                inflater = zlib.decompressobj(bits)
            yield inflater.decompress(rest, _CHUNK_BYTES)
            rest = inflater.unconsumed_tail or inflater.unused_data
    if not inflater.eof:
        raise zlib.error


def _window(head: bytes, coding: str) -> int | None:
    """Return how zlib is to read what begins so; None if it is not compressed in a way that is known here."""
    if coding in _KNOWN:
        if head.startswith(GZIP):
            return zlib.MAX_WBITS | 16
        if head[0] & 15 == 8 and (head[0] << 8 | head[1]) % 31 == 0:
            return zlib.MAX_WBITS
        if coding == "deflate" and re.search(_NO_TEXT, head[:_CHUNK_BYTES]):
            return -zlib.MAX_WBITS  # without zlib's header, as some servers understand RFC 9110 section 8.4.1.2
    return None
