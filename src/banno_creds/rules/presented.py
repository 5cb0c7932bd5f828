"""Find a client assertion in presented or pasted text, and take it apart.

Nothing is verified here: `assertion` and `request` judge the result. If the text cannot be read, this says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus

from banno_creds.errors import TokenError
from banno_creds.jose.decode import MOST_CHARACTERS, extract_token, take_apart, what_else
from banno_creds.jose.encoding import base64url_decode, parse_json_object
from banno_creds.rules.shown import shown, without_secrets
from banno_creds.secrecy import is_private_key_file
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# As in a log or a curl command.
_IN_FORM = re.compile(r"\bclient_assertion=[\"']?([^&\s\"']+)")
# A form and nothing else: several parameters, whose blanks and quotation marks are encoded.
_FORM_ALONE = re.compile(r"[\w.%~-]+=[^&\s\"']*(?:&[\w.%~-]+=[^&\s\"']*)+")
_HTTP_HEAD = re.compile(r"(?:[A-Z]+ \S+|[\w-]+:).*?\r?\n\r?\n", re.DOTALL)
PRIVATE_KEY = "a private key"
# `sign-jwt > FILE` ends a file so, too.
LINE_END = "a line end after it"
IN_JSON = "JSON around it, and the server takes a form alone"
QUOTES = "\"'`“”‘’"


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A client assertion as it was presented: taken apart, and not verified.

    Attributes:
        compact: the JWS itself, or the text in its place.
        header: the JOSE header; empty if it cannot be read.
        claims: the claims set; empty if it cannot be read.
        fault: why it cannot be read; None if it can.
        instead: the name of the thing that was given instead of a JWS, such as "a private key".
        around: names of the characters that were removed from around it.
    """

    compact: str = field(repr=False)
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    fault: str | None = None
    instead: str | None = None
    around: tuple[str, ...] = ()

    @classmethod
    def read(cls, compact: str) -> ClientAssertion:
        """Take a ``client_assertion`` apart without verifying it; if it cannot be read, the rules judge that."""
        try:
            token = take_apart(compact)
        except TokenError as failure:
            return cls._unread(compact, failure.message)
        return cls(compact, token.header, token.payload)

    @classmethod
    def find(cls, text: str) -> ClientAssertion:
        """Find the assertion in pasted text, and take it apart.

        It may be in quotation marks or wrapped to lines. In the form that it is sent in, its value is read to the
        character, because it was sent so.
        """
        if _is_private_key(text):  # a public one may stand before it
            return cls._unread(text, PRIVATE_KEY)
        if (request := TokenRequest.find(text)) is not None:
            if request.assertion is not None:
                return cls.read(request.assertion)
            names = without_secrets(printable(", ".join(request.parameters), 200))
            return cls._unread("", f"a form without a client_assertion (its parameters: {names})")
        if (in_form := _IN_FORM.search(text)) is not None:
            return cls.read(unquote_plus(in_form[1]))
        if (found := cls._in_json(text)) is not None:
            return found
        try:
            compact = extract_token(text)
        except TokenError as failure:
            return cls._unread(text, failure.message)
        in_response = text.strip().startswith("{")  # nobody mistakes a token response for an assertion
        return replace(cls.read(compact), around=() if in_response else _around(text))

    @classmethod
    def _in_json(cls, text: str) -> ClientAssertion | None:
        """Return the assertion of a JSON body; None if the text is no JSON, or is a token response."""
        bare = text.strip().removeprefix("\ufeff").strip()
        if not bare.startswith("{") or len(bare) > MOST_CHARACTERS:
            return None
        try:
            members = parse_json_object(bare)
        except ValueError as failure:
            return cls._unread(bare, f"it starts like JSON, but {failure}")
        sent = members.get("client_assertion")
        if isinstance(sent, str):
            return replace(cls.read(sent), around=(IN_JSON,))
        if what_else(bare) is not None or not {"access_token", "id_token", "error"}.isdisjoint(members):
            return None
        names = without_secrets(printable(", ".join(members) or "none", 200))
        return cls._unread("", f"JSON without a client_assertion (its members: {names})")

    def claim(self, name: str) -> str:
        """Return a claim that is there, in the form that messages have."""
        return f'"{name}" {shown(self.claims[name])}'

    @classmethod
    def _unread(cls, text: str, fault: str) -> ClientAssertion:
        return cls(text, {}, {}, fault=fault, instead=PRIVATE_KEY if _is_private_key(text) else what_else(text))


def _is_private_key(text: str) -> bool:
    # As bytes, because somebody may give DER: standard input and arguments hold bytes outside UTF-8 as surrogates.
    text = text[:MOST_CHARACTERS]
    try:
        return is_private_key_file(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return is_private_key_file(text.encode("utf-8", "replace"))


def _around(text: str) -> tuple[str, ...]:
    """Name the characters that `decode.extract_token` removes from around a JWT."""
    words = []
    if text.startswith("\ufeff"):
        words.append("a byte-order mark before it")
        text = text[1:]
    bare = text.strip()
    if text in (f"{bare}\n", f"{bare}\r\n"):
        words.append(LINE_END)
    elif text != bare:
        words.append("white space around it")
    unquoted = bare.strip("\"'")
    if unquoted != bare:
        words.append("quotation marks around it")
    scheme = re.match(r"(?:authorization\s*:\s*)?(?:bearer|dpop)\s+|authorization\s*:\s*", unquoted, re.IGNORECASE)
    if scheme is not None:
        words.append(f"{printable(scheme[0]).strip()} before it")
        unquoted = unquoted[scheme.end() :]
    if any(character.isspace() for character in unquoted.strip()):
        words.append("line ends inside it" if "\n" in unquoted or "\r" in unquoted else "blanks inside it")
    return tuple(words)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request as it was pasted: the form, and one fact about its headers.

    Attributes:
        parameters: the values by the parameters' names, as a server reads them: without empty values.
        authorization: True if there is an ``Authorization`` header.
    """

    parameters: Mapping[str, Sequence[str]] = field(repr=False)
    authorization: bool = False

    @classmethod
    def find(cls, text: str) -> TokenRequest | None:
        """Find the form in pasted text."""
        body = text[:MOST_CHARACTERS].strip()
        head = _HTTP_HEAD.match(body)
        if head is not None:
            body = body[head.end() :]
        body = re.sub(r"\s*&\s*", "&", body.strip().strip("\"'"))
        if not _FORM_ALONE.fullmatch(body):
            return None
        parameters: dict[str, list[str]] = {}
        for name, value in parse_qsl(body):
            parameters.setdefault(name, []).append(value)
        authorization = head is not None and re.search(r"(?im)^authorization\s*:", head[0]) is not None
        return cls(parameters, authorization)

    @property
    def assertion(self) -> str | None:
        """The value of ``client_assertion``, or of a parameter that is a misspelling of it."""
        names = ("client_assertion", *misspelt("client_assertion", self.parameters))
        return next((self.parameters[name][0] for name in names if name in self.parameters), None)


def unquoted(text: str) -> str:
    """Remove white space and quotation marks from around a text."""
    return text.strip().strip(QUOTES).strip()


def misspelt(name: str, names: Iterable[str]) -> list[str]:
    """Return those of the sent names that differ from the right one only in case and in characters but letters."""
    letters = re.sub(r"[^a-z]", "", name)
    return [other for other in names if other != name and re.sub(r"[^a-z]", "", other.lower()) == letters]


_NAMED = {
    "=": "'=' (padding)",
    **dict.fromkeys("+/", "'+' or '/' (standard base64)"),
    **dict.fromkeys("\r\n", "a line end"),
    " ": "a blank",
    "\t": "a tab",
    "%": "'%' (percent-encoding)",
    "\ufeff": "a byte-order mark",
    **dict.fromkeys(QUOTES, "a quotation mark"),
}
_BASE64URL = "encode with base64url: - for +, _ for /, and no = at the end (RFC 7515 section 2)"
_ONE_LINE = "send it on one line, without a line end or a blank before, in or after it"
_FIXES = {
    **dict.fromkeys("=+/", _BASE64URL),
    **dict.fromkeys("\r\n \t", _ONE_LINE),
    "%": "percent-encode it once at the most: most HTTP libraries encode a form by themselves",
    "\ufeff": "write the file as UTF-8 without a byte-order mark, and send the JWT alone",
    **dict.fromkeys(QUOTES, "send the JWT alone, without the quotation marks"),
}
_PARTS = ("header", "payload", "signature")
# The beginning of a JWS, with anything that people put before it.
_LIKE_JWS = re.compile(r"(?:[\s\ufeff\"'`“”‘’]|b['\"]|bearer\s|%22|%EF%BB%BF)*(?:e[wy]|77u_)", re.IGNORECASE)


def what_is_wrong(compact: str) -> tuple[str, str] | None:
    """Return what keeps a JWS from being read, and the fix, perhaps empty; None if a decoder's words are as good."""
    if not _LIKE_JWS.match(compact):
        return None
    if re.match(r"b['\"]", compact):
        return "Python's b'…' around it: bytes that were made text by str()", "turn the bytes into text by .decode()"
    if re.match(r"bearer\s", compact, re.IGNORECASE):
        return '"Bearer" before it', "send the JWT alone: Bearer stands before an access token, in a header"
    parts = compact.split(".")
    if (stray := _stray_character(parts)) is not None:
        return stray
    if len(parts) == 5:  # a JWE
        return None
    if len(parts) != 3:
        counted = "1 part" if len(parts) == 1 else f"{len(parts)} parts"
        return f"{counted} between dots, and a signed JWT has 3", (
            "sign it, and append a dot and the signature in base64url; nothing may have been cut off"
            if len(parts) < 3
            else "join header, payload and signature with two dots, and nothing else"
        )
    faults = (_fault_in(name, part) for name, part in zip(_PARTS, parts, strict=True))
    return next((fault for fault in faults if fault is not None), None)


def _stray_character(parts: Sequence[str]) -> tuple[str, str] | None:
    for number, part in enumerate(parts):
        stray = re.search(r"[^A-Za-z0-9_-]", part)
        if stray is None:
            continue
        where = f"in its {_PARTS[number]}" if len(parts) == 3 else "in it"
        if number == len(parts) - 1 and re.fullmatch(r"[\s\"'`“”‘’]+", part[stray.start() :]):
            where = "after it"
        if number == stray.start() == 0:
            where = "before it"
        named = _NAMED.get(stray[0], f"the character {stray[0]!a}")
        return f"{named} {where}", _FIXES.get(stray[0], "")
    return None


def _fault_in(name: str, part: str) -> tuple[str, str] | None:
    try:
        data = base64url_decode(part)
    except ValueError as failure:
        if re.fullmatch(r"[0-9A-Fa-f]{64,}", part):
            return (
                f"a {name} as hex text in place of base64url",
                "put its bytes into base64url, and nothing in between",
            )
        return f"a {name} that is broken: {failure}", "copy or send it whole: something cut it off or changed it"
    if name == "signature":
        return None
    if data.startswith(b"\xef\xbb\xbf"):
        return (
            f"a byte-order mark in the {name}, before its JSON",
            "write the JSON as UTF-8 without a byte-order mark",
        )
    if re.match(rb"\s*\{\s*'", data):
        return f"a {name} with single quotes, which is no JSON", (
            "write it with a JSON library, such as json.dumps: JSON has double quotes"
        )
    if re.match(rb"eyJ|ey[AI]|ew[0o]", data):
        return f"a {name} that is encoded twice", "encode the JSON in base64url once"
    try:
        parse_json_object(data)
    except ValueError as failure:
        if "more than once" in str(failure):
            return f"a {name} that is ambiguous: {failure}", (
                "write each member once: which of two counts differs from reader to reader"
            )
    return None
