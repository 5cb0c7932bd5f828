"""The one place that prints: results to stdout, plain; steps, warnings and errors to stderr, for people.

A result never passes through Rich. Everything on stderr does, as `Text`, never as markup, and nothing that is not
printable reaches it, wherever it came from. Rich is imported only when there is something to show.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from itertools import islice
from json import dumps
from typing import TYPE_CHECKING, Any, Literal, Self, TextIO, TypeGuard, assert_never

from banno_creds import steps
from banno_creds.errors import BannoCredsError, OutputError
from banno_creds.text import printable, spelled
from banno_creds.times import BEYOND_THE_CALENDAR, duration, looks_like_milliseconds, until, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.text import Text

    from banno_creds.login.steps import BrowserAwaited, LoginStep
    from banno_creds.rules.findings import Finding, Part, Verdict

# A line is pieces of text, each with a style of Rich's or none.
Piece = tuple[str, str]
Line = tuple[Piece, ...]

_INDENT = "    "
_LEAST_WIDTH = 20

# More members than any real token has.
_MOST_MEMBERS = 50
_DIM = "bright_black"

# What our messages start with, where they do not start with the name of the thing that they are about.
_FIRST_WORDS = frozenset(
    (
        *("a", "an", "another", "both", "cannot", "it", "no", "nobody", "nothing", "others", "port", "standard"),
        *("the", "there", "this", "two", "what"),
    )
)


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
        raise _not_written(failure) from None


class ResultStream:
    """Standard output, for bytes of any kind; what else comes to the same place begins a line of its own."""

    def __init__(self) -> None:
        self._last = b"\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.end_line()
        # The shell's prompt follows on a terminal.
        if not self._last.endswith(b"\n") and sys.stdout.isatty():
            self.write(b"\n")

    def end_line(self) -> None:
        """End a line that is open where standard error goes too, before something is said there.

        The line end goes to standard error: the result stays what it is.
        """
        if not self._last.endswith(b"\n") and _is_one_place():
            with suppress(OSError):  # nobody reads it, and what follows neither
                sys.stderr.write("\n")
                sys.stderr.flush()
            self._last = b"\n"

    def write(self, piece: bytes) -> None:
        """Write a piece of the answer at once.

        Args:
            piece: the piece.

        Raises:
            OutputError: it could not be written.
            BrokenPipeError: whoever was reading has gone.
        """
        try:
            if sys.stdout is None:
                raise OSError(9, "it is closed")  # noqa: TRY301 - the same words for all that can go wrong
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as failure:
            raise OutputError(
                f"the answer could not be written to standard output: {failure.strerror}",
                hint="check where standard output goes; the answer is not whole",
            ) from None
        self._last = piece or self._last


def _is_one_place() -> bool:
    """Whether standard output and standard error are the same terminal, file or pipe."""
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno()))
    except (OSError, ValueError, AttributeError):  # closed, or no file at all
        return False


def as_option(name: str) -> str:
    """Spell a setting as an option: ``token_endpoint`` is ``--token-endpoint``."""
    return "--" + name.replace("_", "-")


class Report:
    """Turns steps and errors into text on stderr, and findings into text on stdout, where they are the result.

    Args:
        quiet: leave steps out; warnings and errors are always shown.
        show_secrets: show assertions and tokens whole.
        spell: how messages name a setting; by default as an option.
    """

    def __init__(
        self, *, quiet: bool = False, show_secrets: bool = False, spell: Callable[[str], str] | None = None
    ) -> None:
        self._spell = spell or as_option
        self.quiet = quiet
        self.show_secrets = show_secrets
        self.warned = False
        self._number = 0
        self._part: str | None = None
        self._stderr = _Stream("stderr")
        self._stdout = _Stream("stdout")
        self._print = self._stderr.print

    def step(self, step: steps.Step | LoginStep) -> None:
        """Show a step; this is what the flow is given to emit to."""
        if isinstance(step, steps.Warned):
            self.warning(step.message, step.hint)
        elif not self.quiet:
            title, lines = describe(step, show_secrets=self.show_secrets)
            self._number += 1
            self._print(((f"{self._number:>2}  ", _DIM), (title, "bold")), hang=4)
            for line in lines:
                self._print(line, indent=_INDENT, hang=_hang(line))

    def part(self, part: Part) -> None:
        """Show on stdout what came of looking at one part of a set-up, under its title unless that was just shown."""
        if part.title != self._part:
            if self._stdout.used:
                self._stdout.print(())
            if part.title:
                self._stdout.print(((part.title, "bold"),))
            self._part = part.title
        for line, indent, hang in _rows(part.findings):
            self._stdout.print(line, indent=indent, hang=hang)
        for note in part.notes:
            self._stdout.print(((note, ""),), indent=_MARKED, hang=3)

    def note(self, title: str, *lines: str) -> None:
        """Show something that was asked for and is no step of the flow, such as what to do next."""
        self._print(((title, "bold"),))
        for line in lines:
            self._print(((line, ""),), indent=_INDENT)

    def end(self) -> None:
        """Set off the result that follows on the same terminal, if steps were shown."""
        if self._number and sys.stdout is not None and sys.stdout.isatty():
            self._print(())

    def chapter(self, title: str) -> None:
        """Start a part of something longer, set off from what was before."""
        self._print(())
        self._print(((title, "bold underline"),))

    def typed(self, command: str) -> None:
        """Show a command as it would be typed; never wrapped, for it can be copied."""
        for number, line in enumerate(command.split("\n")):
            self._print((("  " if number else "$ ", _DIM), (line, "cyan")), wraps=False)

    def log(self, line: str) -> None:
        """Show a line of a log, such as the sandbox's."""
        self._print(((line, ""),), wraps=False)

    def verbatim(self, text: str) -> None:
        """Show text that is to be copied: never wrapped, never changed."""
        for line in text.split("\n"):
            self._print(((line, ""),), indent=_INDENT, wraps=False)

    def warning(self, message: str, hint: str | None = None) -> None:
        """Show a warning."""
        self.warned = True
        self._print((("!   ", "yellow"), (_sentence(spelled(message, self._spell)), "yellow")), hang=4)
        if hint:
            self._print(((printable(spelled(hint, self._spell), 1000), ""),), indent=_INDENT)

    def error(self, error: BannoCredsError, doctor: str = "") -> None:
        """Show what failed, the server's words, and what to do next.

        Args:
            error: the error.
            doctor: the command line that finds out more, where the doctor can; never wrapped, so it can be copied.
        """
        words = error.words(self._spell)
        self._print((("✗   ", "bold red"), (_sentence(words.message), "bold red")), hang=4)
        for detail in words.details:
            self._print(((printable(detail), ""),), indent=_INDENT)
        if words.hint:
            end = ":" if error.doctor_can_tell else ""
            self._print((("Next: ", "bold"), (printable(words.hint, 1000) + end, "")), indent=_INDENT)
            if error.doctor_can_tell:
                self._print(((doctor or "banno-creds doctor", "cyan"),), indent=_INDENT, wraps=False)
        if error.rule and "banno-creds explain" not in (words.hint or ""):
            from banno_creds.rules.explanations import EXPLANATIONS

            if error.rule in EXPLANATIONS:
                self._print(((f"More: banno-creds explain {error.rule}", _DIM),), indent=_INDENT)


class _Stream:
    """One of the two streams, as a place for lines that people read.

    Args:
        name: stdout or stderr. What cannot be written to stdout is an error, for a result is lost; on stderr the work
            goes on.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self.used = False
        self._name = name
        self._console: Console | None = None

    def print(self, line: Line, *, indent: str = "", hang: int = 0, wraps: bool = True) -> None:
        """Print one line; at a terminal wrapped to its width, what follows the first row ``hang`` further in."""
        stream = sys.stdout if self._name == "stdout" else sys.stderr
        console = self._console = self._console or _console(stream)
        self.used = True
        if console is None:
            self._fail(OSError(9, "it is closed"))
            return
        from rich.text import Text

        text = Text(no_wrap=True, end="")
        for content, style in line:
            text.append(_encodable("".join(c if c.isprintable() else " " for c in content), stream), style or None)
        rows: Sequence[Text] = [text]
        width = console.width - len(indent)
        # FORCE_COLOR makes Rich take a pipe for a terminal: colours were asked for then, and no line ends.
        if wraps and text.cell_len > width and stream.isatty():
            rows = text.wrap(console, max(_LEAST_WIDTH, width), no_wrap=False)[:1]
            rest = text[len(rows[0].plain.rstrip()) :]
            rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
            rows = [*rows, *rest.wrap(console, max(_LEAST_WIDTH, width - hang), no_wrap=False)]
        try:
            for number, row in enumerate(rows):
                row.rstrip()
                lead = indent + (" " * hang if number else "")
                console.print(Text(lead, end="").append_text(row), soft_wrap=True)
            stream.flush()
        except OSError as failure:
            # Nobody reads it, or the disk is full.
            console.quiet = True
            self._fail(failure)

    def _fail(self, failure: OSError) -> None:
        if self._name == "stderr":
            return
        if isinstance(failure, BrokenPipeError):
            raise failure
        raise _not_written(failure)


def _console(stream: TextIO | None) -> Console | None:
    """Rich's console for a stream; NO_COLOR means no escape sequences at all."""
    if stream is None:
        return None
    from rich.console import Console

    class StreamConsole(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to `_Stream`: Rich would close stdout and exit, and the result would be lost."""
            raise  # Rich calls this while it handles the error

    return StreamConsole(
        file=stream,
        # Rich would take an empty FORCE_COLOR for a wish to have none.
        force_terminal=stream.isatty() or bool(os.environ.get("FORCE_COLOR")),
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def _not_written(failure: OSError) -> OutputError:
    return OutputError(
        f"the result could not be written to standard output: {failure.strerror}",
        hint="check where standard output goes; the result is lost",
    )


_MARKED = "    "
_NAME_WIDTH = 16
_MARKS = {
    "pass": ("✓", "green"),
    "fail": ("✗", "bold red"),
    "warn": ("!", "yellow"),
    "unknown": ("?", "cyan"),
}


def _rows(findings: Iterable[Finding]) -> Iterable[tuple[Line, str, int]]:
    """Findings as lines, each with its indent and how much further in it goes on.

    The rules about one thing make one row, unless some of them found a fault: then each of those makes its own. What
    is as it should be and not there, such as ``nbf``, makes none.
    """
    from banno_creds.rules.findings import NO_ASSERTION, Verdict

    by_thing: dict[str, list[Finding]] = {}
    for finding in findings:
        by_thing.setdefault(finding.looks_at, []).append(finding)
    for looks_at, group in by_thing.items():
        faults = [finding for finding in group if finding.verdict in (Verdict.FAIL, Verdict.WARN)]
        for finding in faults:
            yield _row(finding.verdict, looks_at, ((finding.rule, _MARKS[finding.verdict][1]),))
            for name in ("received", "expected", "fix"):
                if text := getattr(finding, name):
                    # Every word of it may come from outside.
                    line = ((f"{name:<10}", _DIM), (printable(text, 1000), ""))
                    yield line, _MARKED * 2, 10
        if faults:
            continue
        received = " · ".join(dict.fromkeys(printable(finding.received) for finding in group if finding.received))
        unknown = next((finding for finding in group if finding.verdict is Verdict.UNKNOWN), None)
        if unknown is None and received:
            yield _row(Verdict.PASS, looks_at, ((received, ""),))
        elif unknown is not None and unknown.reason != NO_ASSERTION:
            reason = f"cannot tell: {printable(unknown.reason)}" if unknown.reason else ""
            between = " · " if received and reason else ""
            yield _row(Verdict.UNKNOWN, looks_at, ((received + between, ""), (reason, "cyan")))


def _row(verdict: Verdict, looks_at: str, said: Line) -> tuple[Line, str, int]:
    mark, style = _MARKS[verdict]
    return (
        ((f"{mark:<{len(_MARKED)}}", style), (f"{looks_at:<{_NAME_WIDTH - 1}} ", ""), *said),
        "",
        len(_MARKED) + _NAME_WIDTH,
    )


# For a stream that can show ASCII only; the rest is escaped by the stream itself.
_ASCII = str.maketrans({"✓": "+", "✗": "x", "…": "...", "·": "-", "—": "-", "←": "<-"})


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "ascii"
    return text if encoding.lower().startswith("utf") else text.translate(_ASCII)


def describe(step: steps.Happened | LoginStep, *, show_secrets: bool = False) -> tuple[str, list[Line]]:
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
                _plain(printable(f"{step.origin} · {step.description} · {step.alg}")),
                _dim(printable(step.fingerprint)),
            ]
        case steps.EndpointDiscovered():
            return "Discovery", [
                _plain(printable(f"issuer {step.issuer}")),
                _plain(printable(f"{step.name} {step.url}")),
            ]
        case steps.AssertionBuilt():
            return "JWT payload", list(_json(step.claims, step.now))
        case steps.AssertionSigned():
            return "Signed JWT", _signed(step, show_secrets)
        case steps.TokenRequested():
            if step.attempt > 1 and not show_secrets:
                return f"Token request (attempt {step.attempt})", [_dim("the same, with a freshly signed JWT")]
            basic = [_dim("Authorization: Basic (the client ID and the client secret)")] if step.authorization else []
            return "Token request" + ("" if step.attempt == 1 else f" (attempt {step.attempt})"), [
                _plain(printable(f"POST {step.url}")),
                *basic,
                *(_form_field(name, value, show_secrets) for name, value in step.form),
            ]
        case steps.AnswerReceived():
            request_id = f" · x-request-id {printable(step.request_id)}" if step.request_id else ""
            style = "green" if step.status == 200 else "red"
            return printable(step.what, 40), [
                (
                    (printable(f"{step.status} {step.reason}"), style),
                    (f" in {step.seconds * 1000:.0f} ms{request_id}", ""),
                )
            ]
        case steps.TryingAgain():
            return f"Trying again in {step.seconds:.1f} s", [
                _plain(f"attempt {step.attempt} of {step.most_attempts}, because {printable(step.reason)}")
            ]
        case steps.TokenReceived():
            return "Access token", _token(step, show_secrets)
        case steps.CacheSearched():
            return "Cache", [_plain(printable(step.reason))]
        case steps.SecretRead():
            return "Client secret", [_plain(printable(f"{step.origin} · {step.method}"))]
        case steps.CacheAnswered():
            return "Cache", [
                (("it holds the token: ", "green"), (f"asked for {step.age} s ago, good for {step.left} s more", ""))
            ]
        case steps.WaitingForAnother():
            return "Waiting", [_plain(f"another process asks for this token; {step.seconds:.0f} s at the most")]
        case steps.TokenDecoded():
            return "Decoded", [*_header(step.header), *_unsigned(step.header), *_times(step.payload, step.now)]
        case steps.SignatureVerified():
            return "Verified", [
                (("the signature holds: ", "green"), (printable(f"{step.alg}, {step.key}"), "")),
                *((("as asked: ", "green"), (printable(checked), "")) for checked in step.checked),
                (("not expired", "green"),),
            ]
        case steps.NothingVerified():
            return "Not verified", [
                (("Nobody checked the signature: anybody can have written this token.", "yellow"),),
                _dim("To check it: --issuer URL, --jwks FILE|URL or --public-key FILE"),
            ]
        case steps.TokenRejected():
            return "Payload, not to be relied on", list(_json(step.payload))
        case _:
            return _describe_login(step, show_secrets)


def _describe_login(step: LoginStep, show_secrets: bool) -> tuple[str, list[Line]]:  # noqa: FBT001 - as below
    from banno_creds.login import steps as login_steps

    match step:
        case login_steps.RequestPushed():
            kept = "" if step.expires_in is None else f" · kept for {step.expires_in} s"
            return "Pushed authorization request", [_plain(printable(f"POST {step.url}")), _dim(f"accepted{kept}")]
        case login_steps.AuthorizationRequested():
            return "Authorization request", [
                _plain(printable(f"GET {step.endpoint}")),
                *(_form_field(name, value, show_secrets) for name, value in step.parameters),
            ]
        case login_steps.BrowserAwaited():
            return "Browser", list(_awaited(step))
        case login_steps.BrowserReturned():
            by = "" if step.issuer is None else f" · from {step.issuer}"
            return "Callback", [_plain(printable(f"brought {', '.join(step.names)}{by}"))]
        case login_steps.IdTokenVerified():
            return "Id token", [
                (("verified: ", "green"), (printable(f"{step.alg}, {step.key}"), "")),
                *_json(step.claims, step.now),
            ]
        case login_steps.LoginFound():
            when = "" if step.signed_in_at is None else f", since {utc(step.signed_in_at)}"
            return "Login", [_plain(printable(f"{step.name} ({step.owner}){when}"))]
        case login_steps.LoginKept():
            return "Kept", [_plain(printable(f"the login of {step.owner}")), *map(_dim, map(printable, step.places))]
        case login_steps.TokenRevoked():
            return "Revoked", [_plain(printable(f"{step.name} · POST {step.url}"))]
        case _:
            assert_never(step)


def _signed(step: steps.AssertionSigned, show_secrets: bool) -> list[Line]:  # noqa: FBT001 - a pure formatter
    lines = list(_header(step.header))
    if show_secrets:
        return [*lines, _plain(step.client_assertion)]
    header, payload, _ = step.client_assertion.split(".")
    return [*lines, _dim(f"{_beginning(header)}.{_beginning(payload)}.(signature left out)")]


def _beginning(part: str) -> str:
    return part if len(part) <= 24 else f"{part[:24]}…"


def _awaited(step: BrowserAwaited) -> Iterable[Line]:
    yield _plain(printable(f"waiting at {step.redirect_uri} for {step.seconds:g} s at the most"))
    if step.certificate is not None:
        new = "made just now: the browser warns of it once" if step.made else "the same as before"
        yield _dim(f"certificate for localhost, {new}")
        yield _dim(printable(step.certificate))


_SECRET_FIELDS = {
    "client_assertion": "(the signed JWT)",
    "client_secret": "(the client secret)",
    "code": "(the authorization code)",
    "code_verifier": "(the verifier that goes with the code_challenge)",
    "refresh_token": "(the refresh token)",
    "state": "(fresh)",
    "nonce": "(fresh)",
}


def _form_field(name: str, value: str, show_secrets: bool) -> Line:  # noqa: FBT001 - a pure formatter
    if name in _SECRET_FIELDS and not show_secrets:
        value = _SECRET_FIELDS[name]
    shown = value if name in _SECRET_FIELDS else printable(value)
    return ((f"{printable(name)}=", _DIM), (shown, ""))


def _token(step: steps.TokenReceived, show_secrets: bool) -> list[Line]:  # noqa: FBT001 - a pure formatter
    facts = [printable(step.token_type) or "(no token_type)"]
    if step.expires_in is not None and step.expires_at is not None:
        facts.append(f"{step.expires_in} s, until {utc(step.expires_at)}")
    if step.scope is not None:
        facts.append(f"scope {printable(step.scope)}")
    lines = [_plain(" · ".join(facts))]
    name, institution = step.claims.get("clientName"), step.claims.get("institutionId")
    about = [printable(name)] if isinstance(name, str) else []
    if isinstance(institution, str):
        about.append(f"institution {printable(institution)}")
    if about:
        lines.append(_plain(" · ".join(about)))
    token = step.access_token if show_secrets else shorten(step.access_token)
    lines.append(_dim(token))
    return lines + [
        ((f"{printable(name)} ", ""), (value if show_secrets else shorten(value), _DIM))
        for name, value in step.beside
    ]


def shorten(token: str) -> str:
    """A token's first characters, enough to recognise one and too few to use it."""
    return f"{token[:8]}… ({len(token)} characters, shortened)" if len(token) > 32 else "(not shown: it is short)"


def _unsigned(header: Mapping[str, Any]) -> list[Line]:
    return [_warn("alg none: the token is not signed at all")] if header.get("alg") == "none" else []


_TIME_CLAIMS = {"iat": "issued", "auth_time": "signed in", "nbf": "not before"}
_PAST = ("iat", "auth_time")


def _times(payload: Mapping[str, Any], now: int) -> list[Line]:
    lines: list[Line] = []
    for name, words in _TIME_CLAIMS.items():
        value = payload.get(name)
        if _is_number(value) and looks_like_milliseconds(value):
            lines.append(_milliseconds(name, value))
        elif _is_number(value):
            lines.append(_plain(f"{words} {until(value, now)}, at {utc(value)}"))
            if name in _PAST and value - now >= 1:
                lines.append(_warn(f"{name} lies ahead: compare this machine's clock with the server's"))
        elif name in payload:
            lines.append(_warn(f"{name} is no number: {_shown(value, 80)}"))
    return [*lines, _expiry(payload, now)]


def _expiry(payload: Mapping[str, Any], now: int) -> Line:
    if "exp" not in payload:
        return _warn("no exp: the token does not say when it ends")
    expires = payload["exp"]
    if not _is_number(expires):
        return _warn(f"exp is no number: {_shown(expires, 80)}")
    if looks_like_milliseconds(expires):
        return _milliseconds("exp", expires)
    if expires > now:
        return (("expires in " + duration(expires - now), "green"), (f", at {utc(expires)}", ""))
    return (("EXPIRED " + until(expires, now), "bold red"), (f", at {utc(expires)}", ""))


def _milliseconds(name: str, value: float) -> Line:
    meant = utc(value // 1000)
    if meant == BEYOND_THE_CALENDAR:
        return _warn(f"{name} is no time, in seconds or in milliseconds: {printable(value, 40)}")
    return _warn(f"{name} is in milliseconds, and RFC 7519 wants seconds; {meant} may be meant")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _header(members: Mapping[str, Any]) -> Iterable[Line]:
    """A JOSE header: on one line, if it is as short as most."""
    inline = _shown(members)
    return [_plain(inline)] if len(inline) <= 60 else _json(members)


def _json(members: Mapping[str, Any], now: int | None = None) -> Iterable[Line]:
    """A JSON object for reading; with ``now``, ``exp`` is said in words too."""
    last = len(members) - 1
    yield _plain("{")
    for number, (name, value) in enumerate(islice(members.items(), _MOST_MEMBERS)):
        comma = "," if number < last else ""
        line: Line = ((f"  {_shown(name)}", "cyan"), (": ", ""), (_shown(value), ""), (comma, ""))
        if now is not None and name == "exp" and _is_number(value):
            line += ((f"   ← {until(value, now)}, {utc(value)}", _DIM),)
        yield line
    if last >= _MOST_MEMBERS:
        yield _plain(f"  … and {len(members) - _MOST_MEMBERS:,} more")
    yield _plain("}")


def _shown(value: object, most: int = 500) -> str:
    """JSON on one line. What is not printable is escaped as JSON allows, so that it can be seen."""
    encoded = dumps(value, ensure_ascii=False)[: most * 4]
    return printable("".join(c if c.isprintable() else dumps(c)[1:-1] for c in encoded), most)


def _hang(line: Line) -> int:
    """How much further in than its first row a line goes on: two more than it is indented itself."""
    text = line[0][0]
    return len(text) - len(text.lstrip(" ")) + 2


def _plain(text: str) -> Line:
    return ((text, ""),)


def _dim(text: str) -> Line:
    return ((text, _DIM),)


def _warn(text: str) -> Line:
    return ((text, "yellow"),)


def _sentence(message: str) -> str:
    """A message starts a line, and so with a capital letter; not where a file's name comes first."""
    text = printable(message, 1000)
    return text[0].upper() + text[1:] if text.partition(" ")[0] in _FIRST_WORDS else text
