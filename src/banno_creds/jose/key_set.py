"""A JWK Set that you publish (RFC 7517 section 5): read it, add and remove public keys, write it again.

Nothing here reads or writes a file. What other wings call:

- `read_key_set(content, origin)` reads a set strictly: UTF-8 without a byte order mark, no member twice, bounded;
- `KeySet()` is an empty set; `.add(key)`, `.remove(kid or key)` return a changed one, `.find(key)` a key's JWK;
- `KeySet.text()` is the text to write: the order of all members, members that are unknown here, and the indentation
  are as they were. It refuses a set that has a private member in it;
- `public_jwk(key, alg)` is the JWK of a public key: ``kid`` is its thumbprint (RFC 7638), ``use`` is ``sig``;
- `thumbprint_of(jwk)` and `private_members(jwk)` look at any JWK, even one that makes no key.

Keys are the same if their thumbprints are: a ``kid`` is only a name. So

    text = read_key_set(content, origin).add(new.public, "PS256").remove(old.public).text()

may be done twice, and the second time changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.errors import ConfigurationError
from banno_creds.jose.encoding import base64url, base64url_decode, parse_json_object
from banno_creds.jose.jwk import mended
from banno_creds.storage.secret_files import MOST_BYTES
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.jose.keys import PublicKey

# RFC 7518 sections 6.2.2, 6.3.2 and 6.4; `priv` is that of newer types (AKP).
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv")
# RFC 7638 section 3.2, RFC 8037 section 2.
_NAMING = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "oct": ("k", "kty")}
_MARK = b"\xef\xbb\xbf"
_BUILD = "make one of public keys: banno-creds jwks build KEY"


class _Form(NamedTuple):
    """How a set is written."""

    indent: str | None = "  "
    colon: str = ": "
    comma: str = ","
    line_end: str = "\n"
    last: str = "\n"
    is_ascii: bool = False


@dataclass(frozen=True, slots=True)
class KeySet:
    """A JWK Set; it never changes, its methods return another one.

    Attributes:
        members: its members, as JSON has them; ``keys`` are the JWKs.
        origin: its file or URL, as messages name it.
    """

    members: Mapping[str, Any] = field(default_factory=lambda: {"keys": []})
    origin: str = "the JWK Set"
    _form: _Form = field(default=_Form(), repr=False, compare=False)

    @property
    def keys(self) -> tuple[Mapping[str, Any], ...]:
        """The JWKs, in their order."""
        return tuple(self.members["keys"])

    def find(self, key: PublicKey) -> Mapping[str, Any] | None:
        """Return the JWK of a key; None if the key is not in the set."""
        thumbprint = key.thumbprint()
        return next((jwk for jwk in self.keys if thumbprint_of(jwk) == thumbprint), None)

    def add(self, key: PublicKey, alg: str | None = None) -> KeySet:
        """Return the set with a key at its end; the set itself, if the key is there already, whatever its ``kid``.

        Args:
            key: the public key.
            alg: the only algorithm that the key is for; None to name none.

        Raises:
            ConfigurationError: another key has its thumbprint for a ``kid``.
        """
        if self.find(key) is not None:
            return self
        jwk = public_jwk(key, alg)
        if any(other.get("kid") == jwk["kid"] for other in self.keys):
            raise ConfigurationError(
                f"{self.origin} has another key under the kid {jwk['kid']}, which is the thumbprint of the new one",
                hint="correct or remove that one first: a kid names one key",
            )
        return self._with([*self.keys, jwk])

    def remove(self, which: str | PublicKey) -> KeySet:
        """Return the set without a key; the set itself, if there is no such key.

        Args:
            which: the key, or its ``kid``; where no key has such a ``kid``, the thumbprint.

        Raises:
            ConfigurationError: several keys have this ``kid``.
        """
        thumbprint = which if isinstance(which, str) else which.thumbprint()
        gone = [jwk for jwk in self.keys if isinstance(which, str) and jwk.get("kid") == which]
        if len({thumbprint_of(jwk) or str(number) for number, jwk in enumerate(gone)}) > 1:
            raise ConfigurationError(
                f"{self.origin} has {len(gone)} keys with the kid {printable(which, 80)}",
                hint="name the key by its file, or by its thumbprint",
            )
        gone = gone or [jwk for jwk in self.keys if thumbprint_of(jwk) == thumbprint]
        return self._with([jwk for jwk in self.keys if jwk not in gone]) if gone else self

    def text(self) -> str:
        """Return the set as JSON, written as it was.

        Raises:
            ConfigurationError: it has something private in it.
        """
        for jwk in self.keys:
            if private_members(jwk):
                named = f" (kid {printable(jwk['kid'], 80)})" if isinstance(jwk.get("kid"), str) else ""
                raise ConfigurationError(
                    f"{self.origin} has a private or symmetric key in it{named}; nothing was written",
                    hint="remove that key from the set; if others could read it, have it replaced: it is leaked",
                )
        form = self._form
        text = dumps(
            dict(self.members), indent=form.indent, separators=(form.comma, form.colon), ensure_ascii=form.is_ascii
        )
        if "PRIVATE KEY-" in text:
            raise ConfigurationError(
                f"{self.origin} has a private key in PEM in it; nothing was written",
                hint="take it out; if others could read it, have it replaced: it is leaked",
            )
        return text.replace("\n", form.line_end) + form.last

    def _with(self, keys: list[Mapping[str, Any]]) -> KeySet:
        return replace(self, members={**self.members, "keys": keys})


def read_key_set(content: bytes, origin: str) -> KeySet:
    """Read a JWK Set as it has to be for every provider, in order to change it.

    Args:
        content: the whole file.
        origin: the file, as messages name it.

    Raises:
        ConfigurationError: it is no such set; the message says why.
    """
    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"{origin} is larger than {MOST_BYTES // 1024} KiB", hint=_BUILD)
    if content.startswith(_MARK):
        raise ConfigurationError(
            f"{origin} begins with a byte order mark, which JSON does not allow",
            hint="save it as UTF-8 without one (BOM)",
        )
    try:
        members = parse_json_object(content)
    except ValueError as failure:
        raise ConfigurationError(f"{origin} is no JWK Set: {failure}", hint=_BUILD) from None
    keys = members.get("keys")
    if not isinstance(keys, list) or not all(isinstance(jwk, dict) for jwk in keys):
        fault = "its keys are no array of JWKs" if "keys" in members else "it has no member keys"
        fault = "it is one JWK" if "keys" not in members and "kty" in members else fault
        raise ConfigurationError(f"{origin} is no JWK Set: {fault}", hint=_BUILD)
    return KeySet(members, origin, _form_of(content.decode("utf-8")))


def public_jwk(key: PublicKey, alg: str | None = None) -> dict[str, str]:
    """Return the JWK of a public key for a set, with its thumbprint as ``kid``.

    Args:
        key: the public key.
        alg: the only algorithm that the key is for (RFC 7517 section 4.4); None to name none.
    """
    numbers = key.jwk()
    named = {"kid": key.thumbprint(), "use": "sig", **({} if alg is None else {"alg": alg})}
    return {"kty": numbers.pop("kty"), **named, **dict(sorted(numbers.items(), key=lambda each: each[0] == "e"))}


def thumbprint_of(jwk: Mapping[str, Any]) -> str | None:
    """Return a JWK's SHA-256 thumbprint (RFC 7638), as of the key that its writer meant; None if members are missing.

    Padding, and zeros in front of a number, make no other key of it.
    """
    jwk = mended(jwk)
    names = _NAMING.get(str(jwk.get("kty")), ())
    members = {name: jwk.get(name) for name in names}
    if not members or not all(isinstance(value, str) for value in members.values()):
        return None
    for name in {"n", "e"} & members.keys():
        try:
            members[name] = base64url(base64url_decode(str(members[name])).lstrip(b"\0"))
        except ValueError:
            return None
    canonical = dumps(members, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return base64url(hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).digest())


def private_members(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a JWK's members that are private, or the key itself if it is symmetric; not empty ones."""
    return tuple(name for name in _PRIVATE if jwk.get(name) not in (None, "", [], {}))


def _form_of(text: str) -> _Form:
    """Return how a set is written: as most programs write JSON, on one line or indented."""
    body = text.rstrip()
    indent = re.search(r"\n([ \t]*)\S", body)
    spaced = re.search(r'"\s*:(\s?)', body)
    colon = ":" if spaced is not None and not spaced[1] else ": "
    return _Form(
        None if indent is None else indent[1],
        colon,
        "," if indent is not None or colon == ":" else ", ",
        "\r\n" if "\r\n" in text else "\n",
        "" if body == text else "\r\n" if text.endswith("\r\n") else "\n",
        is_ascii=text.isascii() or "\\u" in text,  # escapes may be half of a character, which UTF-8 does not have
    )
