"""Undo what editors, shells, mails and secret stores do to a key, private or public.

From bytes to one of three: PEM (as text), DER, or JSON. Everything takes time in proportion to the length.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import NamedTuple

from banno_creds.jose.der import kind_of, only
from banno_creds.storage.secret_files import as_utf8
from banno_creds.text import CURLY_QUOTES, DASHES

_MOST_LAYERS = 4  # base64 in a secret, of base64 by hand, of a file: more is no accident

# Patterns that most keys do not need are compiled when they are first used: that takes longer than reading a key.

_DASHES = "-" + DASHES
_MARK = rf"(BEGIN|END)\s([A-Z0-9 \u00a0]{{1,60}}?)\s?[{_DASHES}]{{1,5}}"
_MOST_DASHES = 20
_BLOCK_MARK = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,60})-----")
_QUOTES = "\"'`" + CURLY_QUOTES
_ESCAPE = rb"\\+(?:u00([0-9A-Fa-f]{2})|[nrt/]?)"
_ESCAPED = {b"n": b"\n", b"t": b" ", b"/": b"/"}
_PERCENT = rb"BEGIN(?:%20|\+)"
_MARGIN = rb"(?m)^[ \t]*[>|][>| \t]*"  # a mail's quotation
# What separates and cannot be seen: of other alphabets than ASCII.
_UNSEEN = "[\u00a0\u00ad\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]"

_PACKED = rb"[A-Za-z0-9+/_-]+={0,3}"
_HEX = rb"(?:0x)?30(?::?[0-9A-Fa-f]{2}){8,}"
# Base64 in the middle of a text, such as a value in YAML: of PEM, of base64 of PEM, of DER.
_RUN = rb"(?<![A-Za-z0-9+/_-])(?:LS0tLS1CRUdJTi|TFMwdExTMUNSVWRKVG|M[A-P][A-Za-z0-9+/_-])[A-Za-z0-9+/_=-]{60,}"

# RFC 1421 headers, as OpenSSL writes them above an encrypted traditional key. An IV of another length than the
# cipher's is not matched: cryptography panics at one that is too short.
_ENCRYPTED_HEADERS = (
    rb"\s*(Proc-Type: *4,ENCRYPTED)\s*"
    rb"(DEK-Info: *(?:AES-[0-9]+-[A-Z]+, *[0-9A-Fa-f]{32}|DES-[A-Z0-9-]+, *[0-9A-Fa-f]{16}"
    rb"|(?!AES|DES)[A-Z0-9-]+, *[0-9A-Fa-f]+))"
)
_OTHER_HEADERS = rb"(?:\s*+(?!Proc-Type)[A-Za-z][A-Za-z0-9-]*+:[^\n]*\n)+"


class Block(NamedTuple):
    """A block of PEM.

    Attributes:
        label: as it stands in its lines; it may be wrong.
        headers: those of an encrypted key in the traditional form (RFC 1421); else empty.
        packed: the base64, without white space.
        der: what the base64 stands for; empty if it is broken.
        kind: what that is, see `der.kind_of`; None if it cannot be told, as for anything that is encrypted whole.
    """

    label: bytes
    headers: bytes
    packed: bytes
    der: bytes
    kind: str | None

    @property
    def pem(self) -> bytes:
        """The block with correct line ends; some stores turn them into spaces, or drop them."""
        return self.labelled(self.label)

    def labelled(self, label: bytes) -> bytes:
        """Return the block under another label."""
        lines = b"\n".join(self.packed[i : i + 64] for i in range(0, len(self.packed), 64))
        return b"-----BEGIN %b-----\n%b%b\n-----END %b-----\n" % (label, self.headers, lines, label)


def undress(content: bytes) -> bytes:
    """Return the PEM, DER or JSON in a content; where there is none, the content as it can be read best."""
    text = _plain(content)
    # No JWK: what a secret store prints, whose base64 may have the letters kty in it.
    if text.startswith(b"{") and not re.search(rb"kty\\*[\"']", text):
        text = _unpacked(text) or text
    for _ in range(_MOST_LAYERS):
        if looks_like_key(text):
            break
        inner = _unpacked(text)
        if inner is None:
            break
        text = inner
    return text


def looks_like_key(text: bytes) -> bool:
    """Return whether it has the form of PEM, JSON or DER."""
    return b"-----" in text or text.startswith(b"{") or is_der(text)


def is_der(content: bytes) -> bool:
    """Return whether it starts with a DER SEQUENCE: its tag, which is also the digit 0, and a possible length."""
    return content[:1] == b"0" and len(content) > 1 and (content[1] >= 0x80 or len(content) == 2 + content[1])


def der_block(data: bytes) -> Block:
    """Return DER as a block without a label; what follows its first element is left out."""
    data = only(data)
    return Block(b"", b"", b"", data, kind_of(data))


def blocks(text: bytes) -> tuple[list[Block], list[bytes]]:
    """Return the whole blocks of PEM in an undressed text, each once, and the labels of those that lack a line."""
    found: dict[Block, None] = {}
    halves: list[bytes] = []
    begun: re.Match[bytes] | None = None
    for mark in _BLOCK_MARK.finditer(text):
        if mark[1] == b"END" and begun is not None and begun[2] == mark[2]:
            found.setdefault(_block(mark[2], text[begun.end() : mark.start()]))
            begun = None
            continue
        if begun is not None:
            halves.append(begun[2])
        begun = mark if mark[1] == b"BEGIN" else None
        if begun is None:
            halves.append(mark[2])
    if begun is not None:
        halves.append(begun[2])
    return list(found), halves


def _block(label: bytes, body: bytes) -> Block:
    headers = b""
    encrypted = re.match(_ENCRYPTED_HEADERS, body) if b"Proc-Type" in body else None
    if encrypted:
        headers = b"%b\n%b\n\n" % encrypted.groups()
        body = body[encrypted.end() :]
    elif b":" in body:
        body = re.sub(_OTHER_HEADERS, b"", body, count=1) if re.match(_OTHER_HEADERS, body) else body
    if b">" in body or b"|" in body:
        body = re.sub(_MARGIN, b"", body)
    if not body.isascii():
        body = re.sub(_UNSEEN, "", body.decode("utf-8", "replace")).encode()
    packed = b"".join(body.split())
    der = only(decoded(packed) or b"") if not headers else b""
    return Block(label, headers, packed, der, kind_of(der))


def _plain(content: bytes) -> bytes:
    """Remove an encoding other than UTF-8, white space, quotation marks and escapes."""
    if is_der(content):
        return content
    text = as_utf8(content).strip(b" \t\r\n\f\v\0")
    if not text.isascii():
        # Bytes of a Windows code page are dashes, too.
        words = text.decode("utf-8") if _is_utf8(text) else text.decode("cp1252", "replace")
        if "BEGIN" in words or words[0] in _QUOTES:
            text = words.strip(_QUOTES).strip().encode()
    if text.startswith((b'"', b"'", b"`")):
        text = text.strip(b"\"'`").strip()
    if text.startswith(b"{"):
        begins = text.find(b"-----BEGIN")
        if begins < 0:
            return text
        text = text[begins:]  # no JWK has that in it, but the answers and exports of many programs
    if b"BEGIN" not in text and b"END" not in text:
        return text
    if re.search(_PERCENT, text):
        from urllib.parse import unquote_to_bytes

        text = unquote_to_bytes(text.replace(b"+", b" "))
    if b"\\" in text:  # PEM has no backslashes; some stores escape twice
        text = re.sub(_ESCAPE, _unescaped, text)
    if text.count(b"BEGIN") + text.count(b"END") == len(_BLOCK_MARK.findall(text)):
        return text
    return _straight(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _straight(text: str) -> str:
    """Write the first and the last line of each block with the five hyphens that belong there."""
    pieces, at = [], 0
    for mark in re.finditer(_MARK, text):
        before = text[max(at, mark.start() - _MOST_DASHES) : mark.start()]
        kept = before.rstrip(" \u00a0").rstrip(_DASHES)
        if before.rstrip(" \u00a0") != kept:
            pieces += [
                text[at : mark.start() - len(before) + len(kept)],
                f"-----{mark[1]} {mark[2]}-----".replace("\u00a0", " "),
            ]
            at = mark.end()
    return "".join([*pieces, text[at:]])


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1] is not None:
        return bytes.fromhex(found[1].decode())
    return _ESCAPED.get(found[0].lstrip(b"\\"), b"")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except ValueError:
        return False
    return True


def _unpacked(text: bytes) -> bytes | None:
    """Return what a base64 or hex text stands for, or such a text inside of another; None if that is no key."""
    packed = b"".join(text.split())
    if re.fullmatch(_HEX, packed):
        data = bytes.fromhex(packed.removeprefix(b"0x").replace(b":", b"").decode())
        return data if is_der(data) else None
    if re.fullmatch(_PACKED, packed):
        return _inner(packed)
    # Not the whole: the values of a document. All become one PEM, so that the one that is wanted is found in it.
    inside = [inner for run in re.findall(_RUN, text) if (inner := _inner(run)) is not None]
    if len(inside) == 1:
        return inside[0]
    return b"\n".join(Block(b"KEY", b"", b64encode(it), b"", None).pem if is_der(it) else it for it in inside) or None


def _inner(packed: bytes) -> bytes | None:
    """Return what base64 stands for, if that looks like a key or is base64 again."""
    data = decoded(packed)
    if data is None:
        return None
    inner = _plain(data)
    again = b"".join(inner.split())
    return inner if looks_like_key(inner) or (len(again) > 100 and re.fullmatch(_PACKED, again)) else None


def decoded(packed: bytes) -> bytes | None:
    """Decode base64 of either alphabet (RFC 4648 sections 4 and 5), padded or not."""
    packed = packed.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    if len(packed) % 4 == 1:
        packed = packed[:-1]  # it was cut off; the rest still shows which kind of key it was
    try:
        return b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except ValueError:
        return None
