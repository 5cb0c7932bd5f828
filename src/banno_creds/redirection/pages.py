"""The pages that the browser shows after signing in: whole HTML pages, each one string.

They have no script, no image and nothing from another server, and all text from outside is escaped. Others may look
over a person's shoulder, so a page shows claims, but never a token, a code or a state.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from banno_creds.text import printable, sentence
from banno_creds.times import utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_CLAIMS = 50
_MOST_CHARACTERS = 300  # of one value
_MOST_NAME_CHARACTERS = 100

# Used when the id_token is verified, and meaningless to a person.
_LEFT_OUT = frozenset({"nonce"})
# OpenID Connect Core sections 2 and 5.1, RFC 7519: NumericDates.
_TIMES = frozenset({"auth_time", "exp", "iat", "nbf", "updated_at"})
_NAMES = ("name", "preferred_username", "email", "sub")

_CLOSE = "You may close this window: the terminal goes on by itself."

STYLE = """
:root { color-scheme: light dark; --ground: #eef1f5; --card: #fff; --text: #1b2430; --dim: #566273; --line: #dde3ea;
  --good: #17784a; --bad: #b3372b; --note: #2a62b0; --on: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --card: #1b2129; --text: #e6eaf0; --dim: #9ba7b6; --line: #303945;
    --good: #5cc994; --bad: #f2897d; --note: #84b4f5; --on: #12161c; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 6vh 1rem 3rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-top: 4px solid var(--tone); border-radius: 10px; }
.good { --tone: var(--good); } .bad { --tone: var(--bad); } .note { --tone: var(--note); }
header { display: flex; gap: 1rem; align-items: center; }
.mark { flex: none; width: 2.75rem; height: 2.75rem; border-radius: 50%; background: var(--tone); color: var(--on);
  font: 700 1.5rem/2.75rem system-ui, sans-serif; text-align: center; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 2rem 0 .5rem; font-size: 1rem; }
p { margin: 1rem 0 0; overflow-wrap: anywhere; }
header p { margin: 0; }
.dim, footer { color: var(--dim); }
ul { margin: 1rem 0 0; padding-left: 1.25rem; overflow-wrap: anywhere; }
.next { padding: .75rem 1rem; border-left: 3px solid var(--tone); background: var(--ground); }
dl { margin: 0; display: grid; grid-template-columns: fit-content(16rem) 1fr;
  border-top: 1px solid var(--line); font-size: .9375rem; }
dt, dd { margin: 0; padding: .5rem 0; border-bottom: 1px solid var(--line); }
dt { padding-right: 1.5rem; color: var(--dim); }
dt, dd { overflow-wrap: anywhere; min-width: 0; }
dd { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: .875rem; }
dd span { color: var(--dim); font-family: system-ui, sans-serif; }
footer { max-width: 46rem; margin: 1rem auto 0; font-size: .8125rem; text-align: center; }
@media (max-width: 34rem) {
  body { padding: 1rem .75rem; } main { padding: 1.25rem; }
  dl { display: block; } dt { padding: .5rem 0 0; border: 0; } dd { padding-top: 0; }
}
"""
"""The style of all pages; a Content-Security-Policy allows it by its hash."""


def me(claims: Mapping[str, object]) -> str:
    """Make the page after a login: who signed in, and the id_token's claims (OpenID Connect Core section 2)."""
    names = [value for value in map(claims.get, _NAMES) if isinstance(value, str)]
    named = next(filter(None, names), "")
    who = f"<p class=dim>as <bdi>{escape(_shown(named, _MOST_NAME_CHARACTERS))}</bdi></p>" if named else ""
    listed = [(name, value) for name, value in claims.items() if name not in _LEFT_OUT]
    rows = "\n".join(_row(name, value) for name, value in listed[:_MOST_CLAIMS])
    more = len(listed) - _MOST_CLAIMS
    left_out = f"<p class=dim>… and {more} more.</p>\n" if more > 0 else ""
    return _page(
        "You are signed in",
        "good",
        f"<p>{_CLOSE}</p>\n<h2>What the id_token says</h2>\n<dl>\n{rows}\n</dl>\n{left_out}",
        under=who,
    )


def failed(message: str, details: Sequence[str] = (), hint: str | None = None) -> str:
    """Make the page after a failed login: what failed, details such as the server's words, and what to do."""
    lines = "\n".join(f"<li dir=auto>{escape(printable(detail))}</li>" for detail in details)
    body = f"<p dir=auto>{escape(sentence(printable(message)))}</p>\n"
    body += f"<ul>\n{lines}\n</ul>\n" if lines else ""
    body += f"<p class=next>Next: {escape(printable(hint))}</p>\n" if hint else ""
    return _page(
        "You are not signed in",
        "bad",
        f"{body}<p class=dim>The terminal says the same. You may close this window.</p>\n",
    )


def signed_out() -> str:
    """Make the page after a logout (OpenID Connect RP-Initiated Logout 1.0 section 3)."""
    return _page("You are signed out", "good", f"<p>{_CLOSE}</p>\n")


def not_found() -> str:
    """Make the page for an unknown address."""
    return _page(
        "There is nothing here",
        "note",
        "<p>The browser only comes back here after signing in.</p>\n",
    )


def not_ours() -> str:
    """Make the page for the answer to another login, which has another ``state``."""
    return _page(
        "This is an answer to another login",
        "note",
        "<p>It may come from an older tab. It was not used.</p>\n"
        "<p class=next>Next: go back to the newest tab, or run the command once more.</p>\n",
    )


def used() -> str:
    """Make the page for a second answer to the same login."""
    return _page(
        "This login was answered already",
        "note",
        "<p>Only the first answer counts. The terminal shows what came of it.</p>\n",
    )


def _page(title: str, tone: str, body: str, *, under: str = "") -> str:
    mark = {"good": "✓", "bad": "✕", "note": "i"}[tone]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{title} · banno-creds</title>
<style>{STYLE}</style>
</head>
<body>
<main class="{tone}">
<header><div class="mark" aria-hidden="true">{mark}</div><div><h1>{title}</h1>{under}</div></header>
{body}</main>
<footer>banno-creds, on this computer</footer>
</body>
</html>
"""


def _row(name: str, value: object) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
    shown = escape(_shown(text, _MOST_CHARACTERS))
    if name in _TIMES and isinstance(value, int | float) and not isinstance(value, bool):
        shown += f" <span>{escape(utc(value))}</span>"
    return f"<dt>{escape(_shown(name, _MOST_NAME_CHARACTERS))}</dt><dd dir=auto>{shown}</dd>"


def _shown(text: str, most: int) -> str:
    # An unprintable character could reorder the line or hide in it, so its JSON escape is shown. No more text is
    # processed than can be shown.
    seen = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text[: most * 4])
    return printable(seen, most)
