"""The one place that prints: results to stdout, plain; steps, warnings and errors to stderr, for people.

A result never passes through Rich. Everything on stderr does, as `Text`, never as markup, and what came from
outside is made printable first. Rich is imported only when there is something to show.
"""

from __future__ import annotations

import os
import sys
from json import dumps
from typing import TYPE_CHECKING, Any, TypeGuard

from banno_creds import steps
from banno_creds.errors import BannoCredsError, OutputError, printable
from banno_creds.times import duration, looks_like_milliseconds, until, utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console
    from rich.text import Text

# A line is pieces of text, each with a style of Rich's or none.
Piece = tuple[str, str]
Line = tuple[Piece, ...]

_INDENT = "    "
_DIM = "bright_black"


def write_result(text: str) -> None:
    """Write a result to stdout and make sure it has arrived there.

    Args:
        text: the result, without a line end.

    Raises:
        OutputError: it could not be written.
        BrokenPipeError: whoever was reading has gone.
    """
    try:
        if sys.stdout is None:
            raise OSError(9, "it is closed")  # noqa: TRY301 - the same words for all that can go wrong
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as failure:
        raise OutputError(
            f"the result could not be written to standard output: {failure.strerror}",
            hint="check where standard output goes; the result is lost",
        ) from None


class Report:
    """Turns steps and errors into text on stderr.

    Args:
        quiet: leave steps out; warnings and errors are always shown.
        show_secrets: show assertions and tokens whole.
    """

    def __init__(self, *, quiet: bool = False, show_secrets: bool = False) -> None:
        self.quiet = quiet
        self.show_secrets = show_secrets
        self._number = 0
        self._console: Console | None = None

    def step(self, step: steps.Step) -> None:
        """Show a step; this is what the flow is given to emit to."""
        if isinstance(step, steps.Warned):
            self.warning(step.message, step.hint)
        elif not self.quiet:
            title, lines = describe(step, show_secrets=self.show_secrets)
            self._number += 1
            self._print(((f"{self._number:>2}  ", _DIM), (title, "bold")))
            for line in lines:
                self._print(line, indent=_INDENT)

    def note(self, title: str, *lines: str) -> None:
        """Show something that was asked for and is no step of the flow, such as what to do next."""
        self._print(((title, "bold"),))
        for line in lines:
            self._print(((line, ""),), indent=_INDENT)

    def verbatim(self, text: str) -> None:
        """Show text that is to be copied: never wrapped, never changed."""
        for line in text.split("\n"):
            self._print(((line, ""),), indent=_INDENT, wrap=False)

    def warning(self, message: str, hint: str | None = None) -> None:
        """Show a warning."""
        self._print((("!   ", "yellow"), (printable(message), "yellow")))
        if hint:
            self._print(((printable(hint), ""),), indent=_INDENT)

    def error(self, error: BannoCredsError) -> None:
        """Show what failed, the server's words, and what to do next."""
        self._print((("✗   ", "bold red"), (_sentence(error.message), "bold red")), hang=4)
        for detail in error.details:
            self._print(((printable(detail), ""),), indent=_INDENT)
        if error.hint:
            self._print((("Next: ", "bold"), (printable(error.hint, 1000), "")), indent=_INDENT)

    def _print(self, line: Line, *, indent: str = "", hang: int = 0, wrap: bool = True) -> None:
        """Print one line, wrapped to a terminal's width with its indentation kept."""
        console = self._console = self._console or _console()
        if console is None:
            return
        from rich.text import Text

        text = Text(no_wrap=True, end="")
        for content, style in line:
            text.append(content, style or None)
        rows: Iterable[Text] = [text]
        if wrap and console.is_terminal:
            rows = text.wrap(console, max(20, console.width - len(indent) - hang), no_wrap=False, tab_size=8)
        for number, row in enumerate(rows):
            row.rstrip()
            lead = indent + (" " * hang if number else "")
            console.print(Text(lead, end="").append_text(row), soft_wrap=True)


def _console() -> Console | None:
    """Rich's console for stderr; NO_COLOR means no escape sequences at all."""
    if sys.stderr is None:
        return None
    from rich.console import Console

    return Console(
        stderr=True,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def describe(step: steps.Step, *, show_secrets: bool = False) -> tuple[str, list[Line]]:
    """What a step says to a person: a title, and lines beneath it.

    Args:
        step: the step.
        show_secrets: whether assertions and tokens are shown whole.

    Returns:
        The title and the lines.
    """
    match step:
        case steps.KeyLoaded():
            return "Private key", [
                _plain(f"{printable(step.origin)} · {step.description} · {step.alg}"),
                _dim(step.fingerprint),
            ]
        case steps.EndpointDiscovered():
            return "Discovery", [
                _plain(f"issuer {step.issuer}"),
                _plain(f"{step.name} {step.url}"),
            ]
        case steps.AssertionBuilt():
            return "JWT payload", list(_json(step.claims, step.now))
        case steps.AssertionSigned():
            return "Signed JWT", _signed(step, show_secrets)
        case steps.TokenRequested():
            attempt = "" if step.attempt == 1 else f" (attempt {step.attempt})"
            return f"Token request{attempt}", [
                _plain(f"POST {step.url}"),
                *(_form_field(name, value, show_secrets) for name, value in step.form),
            ]
        case steps.AnswerReceived():
            request_id = f" · x-request-id {step.request_id}" if step.request_id else ""
            style = "green" if step.status == 200 else "red"
            return "Token response", [
                (
                    (f"{step.status} {step.reason}".rstrip(), style),
                    (f" in {step.seconds * 1000:.0f} ms{request_id}", ""),
                )
            ]
        case steps.TryingAgain():
            return f"Trying again in {step.seconds:.1f} s", [
                _plain(f"attempt {step.attempt} of {step.most_attempts}, because {printable(step.reason)}")
            ]
        case steps.TokenReceived():
            return "Access token", _token(step, show_secrets)
        case steps.TokenDecoded():
            return "Decoded", [*_header(step.header), *_times(step.payload, step.now)]
        case steps.SignatureVerified():
            return "Verified", [
                (("the signature holds: ", "green"), (f"{step.alg}, {step.key}", "")),
                *((("and so does ", "green"), (printable(checked), "")) for checked in step.checked),
            ]
        case steps.NothingVerified():
            return "Not verified", [
                (("Nobody checked the signature: anybody can have written this token.", "yellow"),),
                _dim("To check it: --issuer URL, --jwks FILE|URL or --public-key FILE"),
            ]
        case steps.TokenRejected():
            return "Payload, not to be relied on", list(_json(step.payload))
        case _:
            raise NotImplementedError(type(step).__name__)


def _signed(step: steps.AssertionSigned, show_secrets: bool) -> list[Line]:  # noqa: FBT001 - a pure formatter
    header, payload, signature = step.client_assertion.split(".")
    lines = list(_header(step.header))
    if show_secrets:
        return [*lines, _plain(step.client_assertion)]
    shown = payload if len(payload) <= 24 else f"{payload[:24]}…"
    return [*lines, ((f"{header}.{shown}.", _DIM), (f"(signature of {len(signature)} characters left out)", _DIM))]


def _form_field(name: str, value: str, show_secrets: bool) -> Line:  # noqa: FBT001 - a pure formatter
    if name == "client_assertion" and not show_secrets:
        value = "(the signed JWT)"
    return ((f"{printable(name)}=", _DIM), (value if name == "client_assertion" else printable(value), ""))


def _token(step: steps.TokenReceived, show_secrets: bool) -> list[Line]:  # noqa: FBT001 - a pure formatter
    facts = [step.token_type or "(no token_type)"]
    if step.expires_in is not None and step.expires_at is not None:
        facts.append(f"{step.expires_in} s, until {utc(step.expires_at)}")
    if step.scope is not None:
        facts.append(f"scope {step.scope}")
    lines = [_plain(" · ".join(facts))]
    name, institution = step.claims.get("clientName"), step.claims.get("institutionId")
    about = [printable(name)] if isinstance(name, str) else []
    if isinstance(institution, str):
        about.append(f"institution {printable(institution)}")
    if about:
        lines.append(_plain(" · ".join(about)))
    token = step.access_token if show_secrets else shorten(step.access_token)
    return [*lines, _dim(token)]


def shorten(token: str) -> str:
    """A token's first characters, enough to recognise one and too few to use it."""
    return f"{token[:8]}… ({len(token)} characters, shortened)" if len(token) > 32 else "(not shown: it is short)"


_TIME_CLAIMS = {"iat": "issued", "auth_time": "signed in", "nbf": "not before"}


def _times(payload: Mapping[str, Any], now: int) -> list[Line]:
    lines: list[Line] = []
    for name, words in _TIME_CLAIMS.items():
        value = payload.get(name)
        if _is_number(value):
            lines.append(_plain(f"{words} {_instant(value, now)}"))
    expires = payload.get("exp")
    if _is_number(expires):
        if looks_like_milliseconds(expires):
            meant = utc(expires // 1000)
            lines.append(_warn(f"exp is in milliseconds, and RFC 7519 wants seconds; {meant} may be meant"))
        elif expires > now:
            lines.append((("expires in " + duration(expires - now), "green"), (f", at {utc(expires)}", "")))
        else:
            lines.append((("EXPIRED " + duration(now - expires) + " ago", "bold red"), (f", at {utc(expires)}", "")))
    elif "exp" in payload:
        lines.append(_warn(f"exp is no number: {printable(ascii(expires), 80)}"))
    else:
        lines.append(_warn("no exp: the token does not say when it ends"))
    return lines


def _instant(value: float, now: int) -> str:
    if looks_like_milliseconds(value):
        return f"{printable(value, 40)} (in milliseconds? RFC 7519 wants seconds)"
    return f"{until(value, now)}, at {utc(value)}"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _header(members: Mapping[str, Any]) -> Iterable[Line]:
    """A JOSE header: on one line, if it is as short as most."""
    inline = printable(dumps(members, ensure_ascii=False, default=str))
    return [_plain(inline)] if len(inline) <= 60 else _json(members)


def _json(members: Mapping[str, Any], now: int | None = None) -> Iterable[Line]:
    """A JSON object for reading; with ``now``, ``exp`` is said in words too."""
    last = len(members) - 1
    yield _plain("{")
    for number, (name, value) in enumerate(members.items()):
        comma = "," if number < last else ""
        encoded = dumps(value, ensure_ascii=False, default=str)
        line: Line = (
            (f"  {printable(dumps(name, ensure_ascii=False))}", "cyan"),
            (": ", ""),
            (printable(encoded), ""),
            (comma, ""),
        )
        if now is not None and name == "exp" and _is_number(value):
            line += ((f"   ← {until(value, now)}, {utc(value)}", _DIM),)
        yield line
    yield _plain("}")


def _plain(text: str) -> Line:
    return ((text, ""),)


def _dim(text: str) -> Line:
    return ((text, _DIM),)


def _warn(text: str) -> Line:
    return ((text, "yellow"),)


def _sentence(message: str) -> str:
    """An error's message starts a line: with a capital letter, where it is a word and no name or path."""
    text = printable(message, 1000)
    first = text.split(" ", 1)[0]
    return text[0].upper() + text[1:] if first.isalpha() and first.islower() else text
