"""The URI of a key on a PKCS #11 token (RFC 7512): which key, on which token, by which module, with which PIN."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from banno_creds.errors import KeyLoadError
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE_VARIABLE = "BANNO_CREDS_PKCS11_MODULE"

# Sections 2.3 and 2.4. All but the last three say which token.
_PATH = (
    *("token", "manufacturer", "serial", "model"),
    *("slot-id", "slot-description", "slot-manufacturer"),
    *("library-manufacturer", "library-description", "library-version"),
    *("object", "id", "type"),
)
_QUERY = ("module-path", "module-name", "pin-source")
_MOST_CHARACTERS = 4096
# What is written as it is, besides letters, digits and "-._~" (section 2.3).
_PLAIN = ":@!+,"


@dataclass(frozen=True, slots=True)
class KeyUri:
    """A URI, taken apart.

    Attributes:
        text: the whole of it.
        path: the attributes that tell which key and token, decoded; ``object`` and ``id`` are among them.
        query: those that tell how to reach it, decoded.
    """

    text: str
    path: Mapping[str, bytes]
    query: Mapping[str, bytes] = field(repr=False)

    @property
    def short(self) -> str:
        """What messages call the key: the URI without its query, which says how to reach it and may be long."""
        return self.text.partition("?")[0]

    @property
    def of_token(self) -> dict[str, str]:
        """The attributes that a token must have, its slot and its module among them."""
        return {name: _text(value) for name, value in self.path.items() if name not in ("object", "id", "type")}

    @property
    def module(self) -> str:
        """The absolute path of the PKCS #11 module to load.

        Raises:
            KeyLoadError: none is named, or not by an absolute path.
        """
        inside = self.query.get("module-path")
        path = os.environ.get(MODULE_VARIABLE, "") if inside is None else os.fsdecode(inside)
        name = "module-path" if path and inside is not None else MODULE_VARIABLE
        if not path:
            raise KeyLoadError(
                f"no PKCS #11 module is named for {self.short}",
                hint=f"set {MODULE_VARIABLE} to its path, or add ?module-path=PATH to the URI: a library of the "
                "token's maker, such as libsofthsm2.so or opensc-pkcs11.so",
            )
        if not Path(path).is_absolute() or "\0" in path:
            raise KeyLoadError(
                f"{name} is {printable(path, 100)}, which is no absolute path: no library is searched for",
                hint="name the PKCS #11 module by its whole path",
            )
        wanted = self.query.get("module-name")
        if wanted is not None and _text(wanted) != (bare := _bare(path)):
            raise KeyLoadError(
                f"the URI wants the PKCS #11 module {printable(_text(wanted), 60)} (module-name), and {name} names "
                f"{printable(bare, 60)}",
                hint="correct one of them, or leave module-name out: it only checks",
            )
        return path

    @property
    def pin_file(self) -> str | None:
        """The file with the PIN (section 2.4), if the URI names one.

        Raises:
            KeyLoadError: it names something else, or no absolute path.
        """
        source = self.query.get("pin-source")
        if source is None:
            return None
        path = re.sub(r"^file:(//(localhost)?(?=/))?", "", os.fsdecode(source), flags=re.IGNORECASE)
        if os.name == "nt":
            path = re.sub(r"^/(?=[A-Za-z]:)", "", path)  # of file:///C:/…
        if path.startswith("|"):
            raise KeyLoadError(
                "the URI's pin-source is a command, and no command is run for a PIN",
                hint="name a file: pin-source=/PATH/TO/PIN",
            )
        if not Path(path).is_absolute() or path.startswith("//") or "\0" in path:
            raise KeyLoadError(
                "the URI's pin-source is no absolute path of a file (not shown: it might be the PIN)",
                hint="name the file as pin-source=/PATH/TO/PIN or pin-source=file:/PATH/TO/PIN",
            )
        return path

    def of(self, label: bytes, key_id: bytes) -> str:
        """Return the URI of another key on the same token."""
        path = {name: value for name, value in self.path.items() if name not in ("object", "id")}
        parts = [f"{name}={quote(value, safe=_PLAIN)}" for name, value in path.items()]
        parts += [f"object={quote(label, safe=_PLAIN)}"] if label else []
        parts += [f"id={percent(key_id)}"] if key_id else []
        query = "&".join(f"{name}={quote(value, safe=_PLAIN + '/')}" for name, value in self.query.items())
        return "pkcs11:" + ";".join(parts) + (f"?{query}" if query else "")


def percent(key_id: bytes) -> str:
    """Write a CKA_ID as a URI has it, in percent codes throughout."""
    return "".join(f"%{byte:02X}" for byte in key_id)


def parse(uri: str) -> KeyUri:
    """Take a URI apart.

    An attribute of the path that is not known narrows the choice in a way that cannot be followed, so it is refused;
    one of the query is ignored (RFC 7512 sections 2.3 to 2.5).

    Raises:
        KeyLoadError: it is none, or names a thing that is no private key.
    """
    if len(uri) > _MOST_CHARACTERS:
        raise _wrong(f"it has more than {_MOST_CHARACTERS} characters")
    if found := re.search(r"[\s#]", uri):
        raise _wrong(f"it has {'a blank' if found[0].isspace() else '#'} in it", f"write {quote(found[0])} for it")
    path, _, query = uri.partition(":")[2].partition("?")
    named = _attributes(path, ";", known=_PATH)
    unknown = [name for name in named if name not in _PATH]
    if unknown:
        raise _wrong(*_of_unknown(unknown[0]))
    if named.get("type", b"private") != b"private":
        raise _wrong(
            f"it names a {printable(_text(named['type']), 40)}, and a private key signs",
            "write type=private, or leave it out",
        )
    if "slot-id" in named and not re.fullmatch(rb"[0-9]{1,20}", named["slot-id"]):
        raise _wrong("its slot-id is no number", "write it in decimal digits, or name the token by token=LABEL")
    return KeyUri(uri, named, {n: v for n, v in _attributes(query, "&", known=_QUERY).items() if n in _QUERY})


def _of_unknown(name: str) -> tuple[str, str]:
    """Return what is wrong with an attribute of the path that is not known, and what was meant."""
    if name in _QUERY:
        return f"{name} stands before the ?", f"write it behind the key: pkcs11:token=LABEL;object=LABEL?{name}=…"
    if name in ("label", "slot"):
        known = {"label": "object", "slot": "slot-id"}[name]
        return f"it has {name}, which RFC 7512 calls {known}", f"write {known}= for {name}="
    return f"it has {printable(name, 40)}, which is no attribute of RFC 7512", "leave it out, or correct its name"


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, bytes]:
    """Return the attributes of a part of the URI; one that is known stands once at the most."""
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        name = name.lower()
        if not equals or not re.fullmatch(r"[a-z0-9_-]+", name):
            raise _wrong(f"{printable(name, 40) or 'an empty attribute'} is no attribute with a value")
        if re.search(r"%(?![0-9A-Fa-f]{2})", value):
            raise _wrong(f"its {name} has % without two hexadecimal digits", "write %25 for the character %")
        if name in found and name in known:
            raise _wrong(f"it has {name} twice")
        joined = re.search(rf"[,&]({'|'.join(_PATH)})=", value) if separator == ";" else None
        if joined:
            raise _wrong(f"{joined[1]} follows {joined[0][0]}", "write ; between attributes, and quote the URI: '…'")
        found[name] = unquote_to_bytes(value)
    return found


def _wrong(what: str, hint: str = "write it as pkcs11:token=LABEL;object=LABEL (RFC 7512)") -> KeyLoadError:
    return KeyLoadError(f"the key's PKCS #11 URI is wrong: {what}", hint=hint)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _bare(path: str) -> str:
    """Return a module's name without ``lib`` and what follows the first dot."""
    return Path(path).name.partition(".")[0].removeprefix("lib")
