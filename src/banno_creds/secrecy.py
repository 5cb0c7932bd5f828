"""The one place that decides what a private key looks like, and that takes secrets out of what goes to a person.

Both look through the dressings that text gets on its way: other case, white space and line ends, percent encoding,
the escapes of JSON, HTML and shells, base64 and hexadecimal. Everything here takes time in proportion to the text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


class _Lazy:
    """A pattern that is compiled when it is first used: most runs need none, and together they cost 2 ms."""

    def __init__(self, pattern: str | bytes, flags: int = 0) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        compiled: re.Pattern[Any] = re.compile(*self._given)
        for each in ("search", "match", "sub", "finditer"):
            setattr(self, each, getattr(compiled, each))
        return getattr(compiled, name)


# --- Private keys ---------------------------------------------------------------------------------------------------

# PEM, OpenSSH's, SSH2's and PGP's; whatever an editor made of the dashes, in UTF-8 read as Latin-1 as well.
_DASH = r"[-\x80-\x9f\u2010-\u2015\u2212]"
_PEM = _Lazy(rf"{_DASH}[ +]?BEGIN[ +A-Z0-9]{{0,40}}PRIVATE[ +]?KEY", re.IGNORECASE)
# A JWK has `kty`; a private one `d`, or `k` if it is symmetric (RFC 7518 section 6). Within a string it is escaped.
_JWK = _Lazy(r"[\"']kty\\*[\"']\s*:")
_PRIVATE_MEMBER = _Lazy(r"[\"'][dk]\\*[\"']\s*:\s*\\*[\"'][A-Za-z0-9+/_-]{8,}")
_PUTTY = _Lazy("PuTTY-User-Key-File-[0-9]+:")
# What is none of these is no key: most texts are done with here.
_SUSPECT = _Lazy(r"PRIVATE[^-_.]{0,16}KEY|PuTTY|RSAKeyValue|kty|[A-Za-z0-9+/_=:\\%-]{40}", re.IGNORECASE | re.DOTALL)
_BLANKS = _Lazy(r"[\s:]+")

# An ASN.1 sequence that begins with a version: PKCS #8 (RFC 5958), PKCS #1 (RFC 8017), SEC 1 (RFC 5915).
_DER_KEY = _Lazy(rb"0(?:[\x00-\x7f]|\x81.|\x82..)\x02\x01[\x00\x01][\x02\x040]", re.DOTALL)
# One that is encrypted begins with how: by PBES1, PBES2 (RFC 8018) or a scheme of PKCS #12. A PKCS #12 (RFC 7292), of
# version 3, begins with whether it is authenticated by a password or signed; its lengths may be left open, too.
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...)"
_DER_CONTAINER = _Lazy(
    rb"0"
    + _LENGTH
    + rb"0"
    + _LENGTH
    + rb"\x06[\x09\x0a]\x2a\x86\x48\x86\xf7\x0d\x01(?:\x05[\x01-\x0e]|\x0c\x01[\x01-\x06])"
    rb"|0" + _LENGTH + rb"\x02\x01\x030" + _LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07[\x01\x02]",
    re.DOTALL,
)
_DER_IN_HEX = _Lazy(r"30(?:[0-7].|81..|82....)0201(?:00|01)(?:02|04|30)[0-9a-f]{40}")
# The beginning of DER in base64, and of that in base64 once more (a Kubernetes secret).
_DER_IN_BASE64 = _Lazy(r"(?=((?:MI[A-P]|M[A-H].CAQ|TU[lkh])[A-Za-z0-9+/_-]{50}))")
_MOST_CANDIDATES = 5000
_JSON_IN_BASE64 = _Lazy(r"(?:eyJ|eyA|ewo|ew0|W3s|Wwo)[A-Za-z0-9+/_-]{60,}")
_MOST_OF_JSON = 16 * 1024

# Java's key stores, and OpenSSH's form without its PEM.
_MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce", b"openssh-key-v1\0")
_MOST_INFLATED = 1024 * 1024
_MOST_ESCAPED = 256 * 1024
MOST_LOOKED_AT = 256 * 1024


def is_private_key(text: str) -> bool:
    """Return whether a text holds a private key, in any of the dressings that people and programs give one."""
    if _SUSPECT.search(text) is None:
        return False
    if _looks_like_key(text):
        return True
    plain = unescaped(text[:_MOST_ESCAPED])
    return plain != text[:_MOST_ESCAPED] and _looks_like_key(plain)


def is_private_key_file(head: bytes) -> bool:
    """Return whether bytes hold a private key: DER, PKCS #12, a key store, PEM, a JWK, or one of them compressed.

    The beginning is looked at in every dressing, the rest for the words of PEM.
    """
    return any(_is_key_content(each) for each in _unpacked(head))


def _is_key_content(data: bytes) -> bool:
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.startswith(_MAGIC) or _DER_KEY.match(data) or _DER_CONTAINER.match(data):
        return True
    begin = data[:MOST_LOOKED_AT].replace(b"\0", b"")  # without the zeros, UTF-16 is ASCII
    return is_private_key(begin.decode("latin-1")) or (len(data) > MOST_LOOKED_AT and has_key_words(data))


def has_key_words(piece: bytes) -> bool:
    """Return whether the words of a PEM private key are in a piece of a file, plain or encoded; this is quick."""
    return any(marker in piece for marker in _markers_in_bytes())


def _unpacked(data: bytes) -> Iterator[bytes]:
    """Yield the content, and what is in it if it is compressed, some levels deep."""
    for _ in range(3):
        yield data
        inner = _inflated(data)
        if not inner:
            return
        data = inner


def _inflated(data: bytes) -> bytes | None:
    """Return the beginning of what gzip, zlib, zip, bzip2 or xz packed; None for anything else."""
    try:
        if data.startswith((b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")):
            import zlib

            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data, _MOST_INFLATED)
        if data.startswith(b"PK\x03\x04") and data[8:10] == b"\x08\x00":
            import zlib

            begin = 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[begin:], _MOST_INFLATED)
        if data.startswith(b"BZh"):
            import bz2

            return bz2.BZ2Decompressor().decompress(data, _MOST_INFLATED)
        if data.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
            import lzma

            return lzma.LZMADecompressor(memlimit=256 * 1024 * 1024).decompress(data, _MOST_INFLATED)
    except Exception:  # noqa: BLE001, S110 - it is something else, or broken; each library has its own error
        pass
    return None


def _looks_like_key(text: str) -> bool:
    if _PEM.search(text) or _PUTTY.search(text) or _is_jwk(text) or ("<RSAKeyValue>" in text and "<D>" in text):
        return True
    packed = _BLANKS.sub("", text)
    if any(marker in packed for marker in _markers()) or _is_hex_key(packed):
        return True
    if any(_is_der(found[1]) for found in islice(_DER_IN_BASE64.finditer(packed), _MOST_CANDIDATES)):
        return True
    packed_json = (_decoded(found[0][:_MOST_OF_JSON]).decode("latin-1") for found in _JSON_IN_BASE64.finditer(packed))
    return any(_is_jwk(each) for each in packed_json)


def _is_jwk(text: str) -> bool:
    return _JWK.search(text) is not None and _PRIVATE_MEMBER.search(text) is not None


def _is_hex_key(packed: str) -> bool:
    lower = packed.lower()
    return b"PRIVATE KEY-".hex() in lower or _DER_IN_HEX.search(lower) is not None


def _is_der(run: str) -> bool:
    data = _decoded(run)
    if run.startswith("T"):
        data = _decoded(data.decode("latin-1"))
    return bool(_DER_KEY.match(data) or _DER_CONTAINER.match(data))


def _decoded(run: str) -> bytes:
    """Decode base64 or base64url as far as its characters allow."""
    from binascii import Error, a2b_base64

    run = run.translate(_STANDARD)[: len(run) // 4 * 4]
    try:
        return a2b_base64(run)
    except (Error, ValueError):
        return b""


_STANDARD = str.maketrans("-_", "+/")


@lru_cache(1)
def _markers_in_bytes() -> tuple[bytes, ...]:
    words = "PRIVATE KEY-"
    plain = [words.encode(), words.encode("utf-16-le"), words.encode("utf-16-be"), words.encode().hex().encode()]
    return (*plain, *(marker.encode() for marker in _markers()))


@lru_cache(1)
def _markers() -> tuple[str, ...]:
    """Return how a PEM's words look in base64, in that of UTF-16, and in base64 of base64."""
    words = "PRIVATE KEY-"
    once = [*in_base64(words.encode()), *in_base64(words.encode("utf-16-le")), *in_base64(words.encode("utf-16-be"))]
    twice = [each for marker in in_base64(words.encode()) for each in in_base64(marker.encode())]
    return tuple(once + twice)


def in_base64(data: bytes) -> Iterator[str]:
    """Yield what data looks like within base64, by where in a group of three bytes it begins."""
    from binascii import b2a_base64

    for before in range(3):
        encoded = b2a_base64(b"\0" * before + data, newline=False).decode("ascii")
        # The characters at both ends also depend on the neighbours.
        yield encoded.rstrip("=")[(0, 2, 3)[before] : -1 if (before + len(data)) % 3 else None]


# What is shown of a text has neither a JWT nor a key in it, nor what may be the rest of one.
_JWT = _Lazy(r"eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*){1,4}")
# What was pasted or mixed up may be the beginning of one, or wrapped to lines: ``{"`` in base64url and all that may
# follow. With white space after the brace it begins differently, and is recognised by its dots as well. In a server's
# words this would take too much away.
_JWT_OR_PART = _Lazy(
    r"(?:eyJ[A-Za-z0-9_-]*|(?<![A-Za-z0-9_-])e(?:yA|yI|w0|wo)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})"
    r"(?:\.[A-Za-z0-9_-]*|\s+[A-Za-z0-9_.-]{16,})*"
)
_SHOWN = _Lazy(
    rf"-{{0,4}}{_DASH}[ +]?BEGIN [A-Z0-9 ]{{0,40}}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*-----|\Z)"
    r"|\"d\"\s*:\s*\"[^\"]*\"?"
    r"|(?:LS0tLS1CRUdJTi|MI[A-P]|MH[Y-d]|eyJ)[A-Za-z0-9+/_=-]{24}[A-Za-z0-9+/_=\s-]{76,}",
    re.DOTALL,
)


def without_jwts(text: str) -> str:
    """Replace what may be a JWT, or a part of one, in what somebody gave."""
    return str(_JWT_OR_PART.sub("(a JWT, left out)", text))


def without_keys(text: str) -> str:
    """Replace the JWTs and the private keys in a text; all of it, if it is a key in another dressing."""
    if _is_jwk(text):  # its other members are secret as well
        return "(a key)"
    shown = _SHOWN.sub("(a key)", _JWT.sub("(a JWT)", text))
    return "(a key)" if is_private_key(shown) else shown


# --- Secrets that somebody echoes -----------------------------------------------------------------------------------

_ECHOED = 16  # so many letters and digits of a secret in a row are no accident
_LONG = 8192  # characters in all spellings of a long token
_SHORT = 6  # a secret with fewer letters and digits is looked for as a word
_GUESSED = 4  # a secret of fewer characters is none, and would take any words apart
_ESCAPE = _Lazy(
    r"%(?:u([0-9a-f]{4})|([0-9a-f]{2}))|\\(?:u\{?([0-9a-f]{1,5})\}?|x([0-9a-f]{2})|([^ux]))"
    r"|&(?:#x([0-9a-f]{1,5});?|#([0-9]{1,6});?|([a-z]{2,10});)",
    re.IGNORECASE | re.DOTALL,
)
_ENTITIES = {
    "plus": "+",
    "sol": "/",
    "equals": "=",
    "lowbar": "_",
    "hyphen": "-",
    "dash": "-",
    "period": ".",
    "amp": "&",
    "quot": '"',
    "apos": "'",
    "lt": "<",
    "gt": ">",
    "bsol": "\\",
    "percnt": "%",
    "num": "#",
}
_NOT_ALPHANUMERIC = _Lazy("[^0-9a-z]+")


class Secret:
    """A secret that somebody may echo. Its spellings are made when they are first looked for, and live as long as it.

    Args:
        value: the secret.
        what: its name in the words that replace an echo, such as "the assertion".
        known: what is no secret by itself, such as the client's or a session's ID; a text may have one of them.
    """

    __slots__ = ("_is_long", "_known", "_made", "_value", "what")

    def __init__(self, value: str, what: str, known: Iterable[str] = ()) -> None:
        self.what = what
        self._value = value
        self._known = tuple(each for each in dict.fromkeys(known) if each and each in value)
        self._is_long = any(len(_squeezed(begin)) >= _ECHOED for begin in (value[: 4 * _ECHOED], value))
        self._made: tuple[tuple[str, ...], str, str | frozenset[str]] | None = None

    def is_in(self, text: str, squeezed: str) -> bool:
        """Return whether a text, given also without what is no letter, has it or a part of it that is no accident."""
        if len(self._value.strip()) < _GUESSED:
            return False
        if not self._is_long:
            is_word = len(_squeezed(self._value)) < _SHORT and _is_word_of(self._value, text)
            return is_word or any(form in squeezed for form in self._spellings()[0])
        if len(squeezed) < _ECHOED:
            return False
        # Any echo has one of these halves in it; texts that have none, which are most, are done with here.
        size = _ECHOED // 2
        _, joined, halves = self._spellings()
        if not any(squeezed[i : i + size] in halves for i in range(0, len(squeezed) - size + 1, size)):
            return False
        pieces = {squeezed[i : i + _ECHOED] for i in range(len(squeezed) - _ECHOED + 1)}
        known = [each for each in self._known if each in text]
        harmless = _squeezed(known[0]) if len(known) == 1 else ""
        return any(piece in joined and piece not in harmless for piece in pieces)

    def _spellings(self) -> tuple[tuple[str, ...], str, str | frozenset[str]]:
        """Return how it may be written, that in one text, and where the halves of an echo are looked for."""
        if self._made is None:
            forms = _forms(self._value)
            joined = "\n".join(forms)
            size = _ECHOED // 2
            pieces = range(len(joined) - size + 1)
            # To look through a long text again and again takes a while; to take it apart, too.
            halves = joined if len(pieces) < _LONG else frozenset(joined[i : i + size] for i in pieces)
            self._made = forms, joined, halves
        return self._made


def without(text: str, secrets: Iterable[Secret]) -> str:
    """Replace a text that echoes a secret, whole or in part, however it is written, by words that say so."""
    views: list[tuple[str, str]] = []
    for secret in secrets:
        views = views or _views(text)
        if any(secret.is_in(view, squeezed) for view, squeezed in views):
            return f"(left out: the server echoes {secret.what})"
    return text


def harmless(failure: BaseException | None, secrets: Iterable[Secret]) -> BaseException | None:
    """Return an exception, to be the cause of another; None if its traceback, with all before it, echoes a secret."""
    if failure is None:
        return None
    from traceback import format_exception

    shown = "".join(format_exception(failure))
    return failure if without(shown, secrets) == shown else None


def _views(text: str) -> list[tuple[str, str]]:
    """Return a text as it is and unescaped, each also without what is neither letter nor digit."""
    plain = unescaped(text)
    return [(view, _squeezed(view)) for view in dict.fromkeys((text, plain, _read_as_utf_8(plain)))]


_RANDOM = _Lazy(r"(?=[^\s.:]*[0-9])(?=[^\s.:]*[A-Z])(?=[^\s.:]*[a-z])[A-Za-z0-9+/_=~-]{24,}|[^\s.:]{40,}")


def looks_random(value: object) -> bool:
    """Return whether what should be a name looks like a secret instead: long, and without a blank."""
    return isinstance(value, str) and _RANDOM.search(unescaped(value[:1000])) is not None


def unescaped(text: str) -> str:
    """Undo percent encoding and the escapes of JSON, HTML and shells, also if one is in another."""
    for _ in range(4):
        if not any(sign in text for sign in "%\\&"):
            break
        before, text = text, _ESCAPE.sub(_character, text)
        if text == before:
            break
    return text


def _read_as_utf_8(text: str) -> str:
    """Return what the bytes of percent encoding mean, each of which was taken for a character."""
    return text if text.isascii() else text.encode("latin-1", "ignore").decode("utf-8", "ignore")


def _character(found: re.Match[str]) -> str:
    unicode, percent, braced, short, one, hexadecimal, decimal, name = found.groups()
    if one is not None:
        return {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}.get(one, one)
    if name is not None:
        return _ENTITIES.get(name.lower(), found[0])
    number = int(decimal) if decimal is not None else int(unicode or percent or braced or short or hexadecimal, 16)
    return chr(number) if number < 0x110000 else found[0]


def _is_word_of(secret: str, text: str) -> bool:
    """Return whether a short secret is a word of a text, wrapped or not; `re` would keep a pattern."""
    text, word = f" {text.casefold()} ", "".join(secret.casefold().split())
    places = [place for place, character in enumerate(text) if not character.isspace()]
    packed = "".join(text[place] for place in places)
    begin = packed.find(word)
    while begin >= 0:
        before, after = text[places[begin] - 1], text[places[begin + len(word) - 1] + 1]
        if not _in_word(before) and not _in_word(after):
            return True
        begin = packed.find(word, begin + 1)
    return False


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _squeezed(text: str) -> str:
    text = text.lower()
    if text.isascii() and text.isalnum():  # as many parts of tokens; this is quick
        return text
    return str(_NOT_ALPHANUMERIC.sub("", text))


def _forms(secret: str) -> tuple[str, ...]:
    """Return a secret as it may be echoed: as it is, in base64, in hexadecimal; of a signature its bytes as well."""
    data = secret.encode("utf-8", "surrogatepass")
    forms = [secret, *in_base64(data), data.hex()]
    if len(secret) > 40:
        forms.append(_decoded(secret).hex())
    squeezed = (_squeezed(form) for form in forms)
    return tuple(form for form in squeezed if len(form) >= _SHORT)
