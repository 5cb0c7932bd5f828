"""Write docs/errors.md from the explanations. ``make errors`` after a change of theirs; a test compares the two."""

from __future__ import annotations

import re
from pathlib import Path

from banno_creds.rules.explanations import EXPLANATIONS, GROUPS, paragraphs, wrap

_COLUMNS = 118
_COMMAND = "    "

_INTRODUCTION = """\
# Errors and rules

What each OAuth error and each rule means, how it comes about, and what to do. The same in a terminal:

```sh
banno-creds explain                      # all of them, a line each
banno-creds explain invalid_client       # this page's part for one
banno-creds explain exp.past             # a part of its name, where no other has it
```

An **OAuth error** such as [`invalid_client`](#invalid_client) is what the server says. A **rule** such as
[`assertion.exp.past`](#assertionexppast) names the fault behind it; `banno-creds doctor`,
`banno-creds lint-assertion` and the log of `banno-creds sandbox` name the same rules. The names stay what they are:
quote them in tickets, test for them in scripts.

A rule passes where the fault that its name tells of is not there, else it fails or warns; where that cannot be told
from here, it is said why. [doctor.md](doctor.md) has more of `doctor` and of the JSON for scripts, the
[README](../README.md#in-a-script) what the exit codes mean.
"""

_WORDS = """\
## By what you see

The server's words for one fault are its own; most of what can be wrong with a client assertion ends in the same
401 `invalid_client`.
"""

# What the server or the API shows, and what to read.
_SEEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ('401 `invalid_client` "client authentication failed"', ("invalid_client",)),
    (
        '400 `invalid_request` "no client authentication mechanism provided"',
        ("request.client_assertion.missing",),
    ),
    ('400 `invalid_request` "invalid client_assertion format"', ("assertion.malformed",)),
    (
        '400 `invalid_request` "client_assertion_type must be provided", "... must have value"',
        ("request.client_assertion_type.missing", "request.client_assertion_type.unsupported"),
    ),
    ('400 `invalid_request` "client_id mismatch"', ("request.client_id.mismatch",)),
    (
        '400 `invalid_request` "client authentication must only be provided using one mechanism"',
        ("request.client_authentication.several",),
    ),
    ("400 `invalid_request` \"missing required parameter 'grant_type'\"", ("request.grant_type.missing",)),
    ("400 `unsupported_grant_type`", ("unsupported_grant_type", "request.grant_type.unsupported")),
    ('400 `invalid_scope` "requested scope is not allowed"', ("request.scope.not_allowed",)),
    ('a good token, and 403 `{"errorCode":40}` from the API', ("registration.user",)),
    ("403, 404, 405 or 200 with an HTML page, or a redirect", ("network.answer",)),
    ("`WRONG_VERSION_NUMBER`, or no TLS at all", ("network.tls.handshake",)),
    ("a certificate that is not trusted", ("network.tls.untrusted", "network.tls.expired", "network.tls.host")),
    ("407, or another answer of a proxy", ("network.proxy",)),
    ("429, or 5xx", ("network.unavailable",)),
)


_TERMS = """\
## Words

| word | means |
|---|---|
| client assertion | the JWT that you sign with your private key and send, to prove who asks |
| JWT, JWS | a JSON Web Token: three parts, `header.payload.signature`; a JWS is such a text, signed |
| claim | a member of the payload: `iss` and `sub` say who asks, `aud` whom, `exp` until when; `jti` is its own |
| registration | what the bank has of your application in Users & Groups: the client ID, the public key, the scopes |
| PEM | a key as text, between `-----BEGIN ...-----` and `-----END ...-----` |
| JWK, JWK Set (JWKS) | a key as JSON, and several of them |
| JWKS URI | where the bank fetches your public keys, if you gave it that in the place of a PEM |
| `kid` | which key of a JWK Set it is |
| issuer | the URL by which an authorization server calls itself |
| discovery document | JSON that is found by the issuer's URL: the server's addresses, and what it takes |
| scope | what a token may be used for |
"""


def page() -> str:
    """The page."""
    parts = [_INTRODUCTION, *_contents(), _WORDS, "\n".join(_seen()), _TERMS]
    for heading, group in GROUPS.items():
        parts.append(f"## {heading}\n")
        parts += [_part(name) for name in group]
    return "\n".join(parts)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading: small letters, blanks to hyphens, without other punctuation."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _contents() -> list[str]:
    lines = ["- [By what you see](#by-what-you-see)", "- [Words](#words)"]
    lines += [f"- [{heading}](#{anchor(heading)})" for heading in GROUPS]
    return ["\n".join(lines) + "\n"]


def _seen() -> list[str]:
    rows = [f"| {words} | {', '.join(map(_link, names))} |" for words, names in _SEEN]
    return ["| you see | look at |", "|---|---|", *rows, ""]


def _link(name: str) -> str:
    return f"[`{name}`](#{anchor(name)})"


def _part(name: str) -> str:
    cause, fix, *further = paragraphs(name)
    lines = [f"### `{name}`", "", *_wrap(name, f"**{EXPLANATIONS[name].title}.** {cause}")]
    lines += ["", *_wrap(name, _strong(fix))]
    for paragraph in further:
        lines.append("")
        if paragraph.startswith(_COMMAND):
            lines += ["```sh", paragraph.removeprefix(_COMMAND), "```"]
        else:
            lines += _wrap(name, _strong(paragraph))
    return "\n".join(lines) + "\n"


def _strong(paragraph: str) -> str:
    """The same with the label that it begins with in bold."""
    for label in ("Fix:", "Ask the administrator:"):
        if paragraph.startswith(label):
            return f"**{label}**{paragraph.removeprefix(label)}"
    return paragraph


def _wrap(name: str, text: str) -> list[str]:
    """The lines of a paragraph under an id, in which the other ids are links."""
    linked = re.sub(
        r"`([^`]+)`", lambda code: _link(code[1]) if code[1] in EXPLANATIONS and code[1] != name else code[0], text
    )
    return wrap(linked, _COLUMNS)


def main() -> None:
    """Write the page beside this file."""
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
