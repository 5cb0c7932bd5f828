"""What was presented or pasted as a client assertion: read, and not yet believed.

`rules` judges it. Here it is found in what people paste, taken apart, and said in words why it cannot be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus

from banno_creds.errors import TokenError
from banno_creds.jose.decode import MOST_CHARACTERS, extract_token, take_apart, what_else
from banno_creds.jose.encoding import base64url_decode, parse_json_object
from banno_creds.rules.findings import without_secrets
from banno_creds.text import is_private_key_file, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# As a log or a curl command has it.
_IN_FORM = re.compile(r"\bclient_assertion=[\"']?([^&\s\"']+)")
# A form and nothing else: more than one parameter, with no blank and no quotation mark that is not encoded.
_FORM_ALONE = re.compile(r"[\w.%~-]+=[^&\s\"']*(?:&[\w.%~-]+=[^&\s\"']*)+")
_HTTP_HEAD = re.compile(r"(?:[A-Z]+ \S+|[\w-]+:).*?\r?\n\r?\n", re.DOTALL)
PRIVATE_KEY = "a private key"
# That is how `sign-jwt > FILE` ends a file, too.
LINE_END = "a line end after it"
IN_JSON = "JSON around it, and the server takes a form alone"
QUOTES = "\"'`“”‘’"


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A client assertion as it was presented: read, and not yet believed.

    Attributes:
        compact: the JWS itself, or what stands in its place.
        header: the JOSE header; empty if it cannot be read.
        claims: the claims set; empty if it cannot be read.
        fault: why it cannot be read; None if it can.
        instead: what it is that no JWS is, such as "a private key".
        around: what was taken off to read it, in words.
    """

    compact: str = field(repr=False)
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    fault: str | None = None
    instead: str | None = None
    around: tuple[str, ...] = ()

    @classmethod
    def read(cls, compact: str) -> ClientAssertion:
        """Take a compact JWS apart without verifying anything. What cannot be read is a fault for the rules.

        Args:
            compact: the ``client_assertion`` parameter.

        Returns:
            The assertion.
        """
        try:
            token = take_apart(compact)
        except TokenError as failure:
            return cls._unread(compact, failure.message)
        return cls(compact, token.header, token.payload)

    @classmethod
    def find(cls, text: str) -> ClientAssertion:
        """Find the assertion in what was pasted, and take it apart.

        Args:
            text: the JWT, also in quotation marks or wrapped to lines; or the form that it is sent in, of which the
                value is read to the character, for so it was sent.

        Returns:
            The assertion.
        """
        if _is_private_key(text):  # a public one may stand before it
            return cls._unread(text, PRIVATE_KEY)
        request = TokenRequest.find(text)
        if request is not None and request.assertion is None:
            names = without_secrets(printable(", ".join(request.parameters), 200))
            return cls._unread("", f"a form without a client_assertion (its parameters: {names})")
        in_form = _IN_FORM.search(text)
        if request is not None or in_form is not None:
            sent = request.assertion if request is not None else unquote_plus(in_form[1]) if in_form else None
            return cls.read(sent or "")
        if (found := cls._in_json(text)) is not None:
            return found
        try:
            compact = extract_token(text)
        except TokenError as failure:
            return cls._unread(text, failure.message)
        in_response = text.strip().startswith("{")  # which nobody takes for an assertion
        return replace(cls.read(compact), around=() if in_response else _around(text))

    @classmethod
    def _in_json(cls, text: str) -> ClientAssertion | None:
        """The assertion of a JSON body; of a token response, which is another thing, None."""
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

    @classmethod
    def _unread(cls, text: str, fault: str) -> ClientAssertion:
        return cls(text, {}, {}, fault=fault, instead=PRIVATE_KEY if _is_private_key(text) else what_else(text))


def _is_private_key(text: str) -> bool:
    # As bytes: standard input and arguments have what is no UTF-8 as lone surrogates, and somebody may give DER.
    text = text[:MOST_CHARACTERS]
    try:
        return is_private_key_file(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return is_private_key_file(text.encode("utf-8", "replace"))


def _around(text: str) -> tuple[str, ...]:
    """What `decode.extract_token` takes off a JWT, in words."""
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
    """A token request as it was pasted: the form, and what its headers tell.

    Attributes:
        parameters: the values by the parameters' names, as a server reads them: without those that are empty.
        authorization: whether there is an ``Authorization`` header.
    """

    parameters: Mapping[str, Sequence[str]] = field(repr=False)
    authorization: bool = False

    @classmethod
    def find(cls, text: str) -> TokenRequest | None:
        """Find the form in what was pasted.

        Args:
            text: what was pasted.

        Returns:
            The request; None if there is no whole form, such as in a curl command, which may go on elsewhere.
        """
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
        """The value of ``client_assertion``, or of what is misspelt so."""
        names = ("client_assertion", *misspelt("client_assertion", self.parameters))
        return next((self.parameters[name][0] for name in names if name in self.parameters), None)


def misspelt(name: str, names: Iterable[str]) -> list[str]:
    """Those of the names that differ from one in case and in what is no letter.

    Args:
        name: the right one.
        names: those that were sent.

    Returns:
        Them, in their order.
    """
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
# How a JWS begins, whatever was put before it.
_LIKE_JWS = re.compile(r"(?:[\s\ufeff\"'`“”‘’]|b['\"]|bearer\s|%22|%EF%BB%BF)*(?:e[wy]|77u_)", re.IGNORECASE)


def what_is_wrong(compact: str) -> tuple[str, str] | None:
    """What keeps a JWS from being read and what to do, where that can be said better than by whoever reads it.

    Args:
        compact: what should be a compact JWS.

    Returns:
        What is wrong with it, and what to do, which may be empty; None if nothing better can be said.
    """
    if not _LIKE_JWS.match(compact):
        return None
    if re.match(r"b['\"]", compact):
        return "Python's b'…' around it: bytes that were made text by str()", "turn the bytes into text by .decode()"
    if re.match(r"bearer\s", compact, re.IGNORECASE):
        return '"Bearer" before it', "send the JWT alone: Bearer stands before an access token, in a header"
    parts = compact.split(".")
    names = ("header", "payload", "signature") if len(parts) == 3 else ()
    for number, part in enumerate(parts):
        if (stray := re.search(r"[^A-Za-z0-9_-]", part)) is not None:
            where = f"in its {names[number]}" if names else "in it"
            if number == len(parts) - 1 and re.fullmatch(r"[\s\"'`“”‘’]+", part[stray.start() :]):
                where = "after it"
            if number == stray.start() == 0:
                where = "before it"
            named = _NAMED.get(stray[0], f"the character {stray[0]!a}")
            return f"{named} {where}", _FIXES.get(stray[0], "")
    if len(parts) == 5:
        return None
    if len(parts) != 3:
        counted = "1 part" if len(parts) == 1 else f"{len(parts)} parts"
        return f"{counted} between dots, and a signed JWT has 3", (
            "sign it, and append a dot and the signature in base64url; nothing may have been cut off"
            if len(parts) < 3
            else "join header, payload and signature with two dots, and nothing else"
        )
    for name, part in zip(names, parts, strict=True):
        if (said := _what_is_wrong_with_json(name, part)) is not None:
            return said
    return None


def _what_is_wrong_with_json(name: str, part: str) -> tuple[str, str] | None:
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
