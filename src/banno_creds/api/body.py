"""The body of a request: a file, a pipe, or JSON made of fields; never a private key."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from functools import partial
from io import SEEK_END, BytesIO
from json import dumps
from typing import TYPE_CHECKING, Any

from banno_creds.errors import ConfigurationError
from banno_creds.secrecy import MOST_LOOKED_AT, has_key_words, is_private_key_file
from banno_creds.text import printable, setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import IO, BinaryIO

_CHUNK_BYTES = 64 * 1024
_HEAD_BYTES = 1024 * 1024  # the length of a pipe that ends within these is known before it is sent
_MOST_SEEN_BYTES = 16 * 1024 * 1024  # so much of a file is looked at before anything is sent, the rest on its way
_OVERLAP = 100  # bytes: the words that are looked for are shorter

_SUBSCRIPT = re.compile(r"\[([^\[\]]*)\]")


class Content:
    """A request's body, read as it is sent, and again from its beginning for another attempt.

    What was read of a pipe is kept: in memory while it is short, then in a temporary file without a name.

    Args:
        source: a file or a pipe. It is not closed.
        origin: how messages name it.

    Attributes:
        length: how many bytes it has; None for a long pipe.

    Raises:
        ConfigurationError: it cannot be read, or is a private key.
    """

    def __init__(self, source: BinaryIO, origin: str) -> None:
        self._source = source
        self._origin = origin
        self._kept: IO[bytes] | None = None
        self._ended = False
        self._begin = 0
        self.length: int | None = None
        with self._readable():
            if not self._measure():
                self._keep_head()
        self._refuse_key()

    def pieces(self) -> Iterator[bytes]:
        """Read the bytes, from the first one each time this is called.

        ConfigurationError if they cannot be read, or have a private key among them that was not seen before.
        """
        before = b""
        for piece in self._read():
            if has_key_words(before + piece):
                raise _key_in(self._origin, "the request was broken off")
            before = piece[-_OVERLAP:]
            yield piece

    def _refuse_key(self) -> None:
        """Look for a private key before anything is sent; a pipe is not waited for, and seen when it is sent."""
        left = _HEAD_BYTES if self._kept is not None else _MOST_SEEN_BYTES
        head, before = b"", b""
        for piece in self._read():
            head += piece[: max(0, MOST_LOOKED_AT - len(head))]
            if has_key_words(before + piece):
                raise _key_in(self._origin)
            before, left = piece[-_OVERLAP:], left - len(piece)
            if left <= 0:
                break
        refuse_key(head, self._origin)

    def _read(self) -> Iterator[bytes]:
        with self._readable():
            if self._kept is None:
                self._source.seek(self._begin)
                yield from iter(partial(self._source.read, _CHUNK_BYTES), b"")
            else:
                self._kept.seek(0)
                yield from iter(partial(self._kept.read, _CHUNK_BYTES), b"")
                while piece := self._read_on(self._kept):
                    yield piece

    def close(self) -> None:
        """Delete what was kept."""
        if self._kept is not None:
            self._kept.close()

    def _measure(self) -> bool:
        """Return whether it is a file of known length; a terminal or a file under /proc may say 0, or nothing."""
        with suppress(OSError):
            self._begin = self._source.tell()
            self.length = self._source.seek(0, SEEK_END) - self._begin or None
        return self.length is not None

    def _keep_head(self) -> None:
        """Read the beginning of a pipe: if it is short, its length is then known, and some servers require it."""
        from tempfile import SpooledTemporaryFile

        self._kept = kept = SpooledTemporaryFile(max_size=_HEAD_BYTES)  # noqa: SIM115 - `close` closes it
        size = 0
        while size < _HEAD_BYTES and (piece := self._read_on(kept)):
            size += len(piece)
        if self._ended:
            self.length = size

    def _read_on(self, kept: IO[bytes]) -> bytes:
        piece = b"" if self._ended else self._source.read(_CHUNK_BYTES)
        self._ended = not piece
        kept.write(piece)
        return piece

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            raise ConfigurationError(
                f"{self._origin} cannot be read: {failure.strerror or failure}",
                hint=f"give another {setting('input_file')}",
            ) from None


def refuse_key(content: bytes, origin: str) -> None:
    """Raise an error if a body or field is a private key; see `refuse_secret_file` for the arguments and errors."""
    if is_private_key_file(content):
        raise _key_in(origin)


def refuse_secret_file(status: os.stat_result, secret_files: Iterable[Path], origin: str) -> None:
    """Raise an error if a body is one of the files with our own secrets, by whatever path, link or descriptor.

    Args:
        status: the body's.
        secret_files: the paths of those files.
        origin: how messages name the body.

    Raises:
        ConfigurationError: it is one.
    """
    for path in secret_files:
        with suppress(OSError, ValueError):
            if stat.S_ISREG(status.st_mode) and os.path.samestat(status, path.stat()):
                raise ConfigurationError(
                    f"{origin} is a file with a secret of yours, and nothing was sent",
                    hint="name another file: the API never needs a key, a passphrase, a client secret or a login",
                )


def _key_in(origin: str, what: str = "nothing was sent") -> ConfigurationError:
    return ConfigurationError(
        f"there is a private key in {origin}, and {what}",
        hint="name another file: the API never needs a private key",
    )


# --- Fields ---


def body_of(fields: Sequence[tuple[str, Any]]) -> Content:
    """Return fields as a JSON body."""
    return Content(BytesIO(dumps(_nested(fields), ensure_ascii=False).encode()), "the fields")


def typed(text: str) -> Any:
    """Return a typed field's value: true, false, null or a whole number, else the text itself.

    A number with leading zeros, such as an account number, stays text; so does one too large for other JSON readers.
    """
    constants = {"true": True, "false": False, "null": None}
    if text in constants:
        return constants[text]
    return int(text) if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text) else text


def _nested(fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in fields:
        first, subscripts = name.partition("[")[0], name.partition("[")[1:]
        keys = [first, *_SUBSCRIPT.findall("".join(subscripts))]
        if not first or name != first + "".join(f"[{key}]" for key in keys[1:]):
            raise _bad_field(name, "cannot be read")
        _put(body, keys, value, name)
    return body


def _put(members: dict[str, Any], keys: Sequence[str], value: object, name: str) -> None:
    key, rest = keys[0], keys[1:]
    if not rest:
        if key in members:
            raise _bad_field(name, "is given more than once")
        members[key] = value
        return
    within = members.setdefault(key, {} if rest[0] else [])
    if not isinstance(within, dict if rest[0] else list):
        raise _bad_field(name, "contradicts one before it")
    if isinstance(within, list):
        if len(rest) == 1:
            within.append(value)
            return
        rest = rest[1:]
        if not rest[0]:
            raise _bad_field(name, "cannot be read")
        # If the last object has this member already, the next object begins.
        if not within or not isinstance(within[-1], dict) or rest[0] in within[-1]:
            within.append({})
        within = within[-1]
    _put(within, rest, value, name)


def _bad_field(name: str, fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"the field {printable(name, 80)!a} {fault}",
        hint="write name=value, name[member]=value or name[]=value; for any other JSON "
        f"give a file with {setting('input_file')}",
    )
