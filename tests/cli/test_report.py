"""What people see: steps, warnings and errors, on a terminal and in a pipe, whatever was put into them."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from rich.cells import cell_len

from banno_creds import steps
from banno_creds.cli.lines import describe, shorten
from banno_creds.cli.report import Report, write_result
from banno_creds.errors import BannoCredsError, OutputError
from banno_creds.jose.encoding import base64url
from banno_creds.login import steps as login_steps
from banno_creds.text import printable
from tests.cli.hostile import HOSTILE, STEP_CLASSES, is_harmless, sample, show_everything
from tests.jwts import NOW, jwt
from tests.terminal import _SGR, ROOT, at_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Cli


LONG = jwt(
    {
        "aud": "https://login.jackhenry.com/a/oidc-provider/api/v0/token?with=a&very=long&list=of&parameters=in&it=1",
        "scope": " ".join(f"https://api.banno.com/scope{number}" for number in range(8)),
        "exp": 1,
    },
    {"alg": "RS256", "kid": "k" * 100},
)


# ── Text from outside ───────────────────────────────────────────────────────────────────────────────────────────


def test_every_step_class_is_described() -> None:
    assert len(STEP_CLASSES) >= 12
    for step in STEP_CLASSES:
        if step is not steps.Warned:
            title, lines = describe(sample(step, "text"))  # type: ignore[arg-type]
            assert title
            assert lines


def test_every_step_class_is_among_the_steps() -> None:
    defined = {
        kind
        for module in (steps, login_steps)
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and kind is not steps.Run
    }
    assert defined == set(STEP_CLASSES)


def test_step_without_a_description_is_a_bug() -> None:
    class Forgotten(NamedTuple):
        field: str

    with pytest.raises(AssertionError, match="Forgotten"):
        describe(Forgotten(""))  # type: ignore[arg-type]


@pytest.mark.once
@pytest.mark.parametrize("show_secrets", [False, True])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_in_a_pipe_stays_text(
    capsys: pytest.CaptureFixture[str], text: str, *, show_secrets: bool
) -> None:
    show_everything(text[:20_000] if show_secrets else text, show_secrets=show_secrets)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert is_harmless(captured.err)


def show_each(env: dict[str, str]) -> dict[str, str]:
    """Show harmless text and each hostile one at one terminal; return what was written for each."""
    program = """if True:
        import sys; from tests.cli.hostile import *
        for name in ("harmless", *HOSTILE):
            if name not in ("one long word", "a megabyte"):
                show_everything(HOSTILE.get(name, "text"))
                print(f"\\0{name}\\0", end="", file=sys.stderr, flush=True)
    """
    seen = at_terminal("-c", program, env=env)
    assert seen.code == 0
    pieces = seen.screen.split("\0")
    return dict(zip(pieces[1::2], pieces[::2], strict=False))


@pytest.mark.once
@pytest.mark.posix("a pseudo-terminal")
def test_hostile_text_on_a_terminal_neither_moves_nor_colours() -> None:
    coloured, plain = show_each({}), show_each({"NO_COLOR": "1"})
    assert set(plain) == set(coloured) == {"harmless", *HOSTILE} - {"one long word", "a megabyte"}
    assert {name for name, screen in plain.items() if not is_harmless(screen)} == set()
    # The colours are our own, for they are those of harmless text: no others.
    ours = set(_SGR.findall(coloured["harmless"]))
    assert ours
    assert {name for name, screen in coloured.items() if not set(_SGR.findall(screen)) <= ours} == set()
    assert {name: _SGR.sub("", screen) for name, screen in coloured.items()} == plain


@pytest.mark.parametrize("name", ["markup", "emoji code"])
def test_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str], name: str) -> None:
    text = HOSTILE[name]
    show_everything(text)
    shown = capsys.readouterr().err
    assert shown.count(text) >= 20


def test_what_cannot_be_shown_in_json_is_seen_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    Report().step(steps.TokenRejected({"a\u202eb": "\x1b[31m\x9b\u200b\ud800\U000e0041é漢 x"}))
    shown = capsys.readouterr().err.splitlines()[2]
    assert shown == '      "a\\u202eb": "\\u001b[31m\\u009b\\u200b\\ud800\\udb40\\udc41é漢 x"'


@pytest.mark.parametrize("text", [HOSTILE["a megabyte"], HOSTILE["one long word"]], ids=["words", "one word"])
def test_endless_text_is_cut_and_said_to_be(capsys: pytest.CaptureFixture[str], text: str) -> None:
    report = Report()
    for step in STEP_CLASSES:
        report.step(sample(step, text))
    report.error(BannoCredsError(text, hint=text, details=(text,)))
    shown = capsys.readouterr().err
    assert len(shown) < 60_000
    assert "… (shortened)" in shown


def test_members_beyond_counting_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    Report().step(steps.TokenRejected({f"claim{number}": number for number in range(1050)}))
    lines = capsys.readouterr().err.splitlines()
    assert lines[-3:] == ['      "claim49": 49,', "      … and 1,000 more", "    }"]


def test_jwts_inside_of_text_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"assertion={LONG} rejected"
    report = Report()
    for step in STEP_CLASSES:
        if step is not steps.AssertionSigned:  # that is the one JWT that is shown, without its signature
            report.step(sample(step, text))
    report.error(BannoCredsError(text, hint=text, details=(text,)))
    shown = capsys.readouterr().err
    assert "eyJ" not in shown
    assert shown.count("assertion=(a JWT) rejected") >= 20


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("plain", 500, "plain"),
        ("  a \r\n\t b\x00\x1bc  ", 500, "a b c"),
        ("a\u00a0b\u3000c", 500, "a b c"),
        ("x" * 11, 10, "xxxxxxxxxx… (shortened)"),
        ("x" * 10, 10, "xxxxxxxxxx"),
        (None, 500, "None"),
        (f"got {jwt({})}, sorry", 500, "got (a JWT), sorry"),
        (f"{jwt({})}.x.y", 500, "(a JWT)"),
        ("eyJ is no JWT, nor is eyJhbGciOi", 500, "eyJ is no JWT, nor is eyJhbGciOi"),
        ("abc" * 10**6, 3, "abc… (shortened)"),
        ("eyJ" * 10**6, 500, "(a key)"),
    ],
)
def test_printable_folds_shortens_and_leaves_jwts_out(text: object, most: int, shown: str) -> None:
    assert printable(text, most) == shown


# ── Terminals and pipes ─────────────────────────────────────────────────────────────────────────────────────────

DECODE = ("-m", "banno_creds", "decode", "--check-expiry", LONG)


@pytest.mark.posix("a pseudo-terminal")
def test_no_line_is_longer_than_the_terminal_is_wide() -> None:
    for columns in (80, 60, 132):
        seen = at_terminal(*DECODE, columns=columns)
        assert seen.code == 6
        assert max(map(cell_len, seen.lines)) <= columns


@pytest.mark.posix("a pseudo-terminal")
def test_lines_of_wide_characters_are_no_longer_either() -> None:
    program = "import sys; from tests.cli.hostile import *; show_everything(HOSTILE['wide'])"
    verbatim = 1
    lines = at_terminal("-c", program).lines
    assert sum(cell_len(line) > 80 for line in lines) == verbatim


@pytest.mark.posix("a pseudo-terminal")
def test_wrapped_lines_keep_their_indentation() -> None:
    seen = at_terminal(*DECODE)
    top = re.compile(r"( \d  |✗   )\S")
    for line in seen.lines[:-1]:
        assert top.match(line) or line.startswith("    "), line
    # A member goes on further in than it begins.
    start = next(number for number, line in enumerate(seen.lines) if line.startswith('      "aud":'))
    assert seen.lines[start + 1].startswith(" " * 8)


@pytest.mark.posix("a pseudo-terminal")
def test_wrapping_loses_nothing() -> None:
    seen = at_terminal(*DECODE)
    piped = subprocess.run(
        [sys.executable, *DECODE], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert "".join("".join(seen.lines).split()) == "".join(piped.stderr.split())


@pytest.mark.posix("a pseudo-terminal")
def test_warnings_and_hints_are_wrapped_with_their_indentation() -> None:
    program = (
        "import sys; from tests.cli.hostile import *\n"
        "report = Report(quiet=True)\n"
        "report.step(steps.Warned('a warning ' * 12, hint='a hint ' * 20))\n"
        "report.error(BannoCredsError('a failure ' * 12, hint='do this ' * 20, details=('a detail ' * 15,)))\n"
    )
    lines = at_terminal("-c", program).lines
    assert [line[:4] for line in lines] == ["!   ", "    ", "    ", "    ", "✗   ", *["    "] * 6, ""]
    assert not any(line.startswith("     ") for line in lines)
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.posix("a pseudo-terminal")
def test_line_that_just_fits_is_not_wrapped() -> None:
    program = "import sys; from tests.cli.hostile import *; Report().note('x', 'y' * int(sys.argv[1]))"
    assert at_terminal("-c", program, "76").lines == ["x", "    " + "y" * 76, ""]
    assert at_terminal("-c", program, "77").lines == ["x", "    " + "y" * 76, "    y", ""]


@pytest.mark.posix("a pseudo-terminal")
def test_the_first_row_of_a_long_line_uses_the_whole_width() -> None:
    words = "'a' * 35 + ' ' + 'b' * int(sys.argv[1]) + ' ccc'"
    program = f"import sys; from tests.cli.hostile import *; Report().error(BannoCredsError({words}))"
    first = "✗   " + "a" * 35
    assert at_terminal("-c", program, "40").lines == [f"{first} {'b' * 40}", "    ccc", ""]
    assert at_terminal("-c", program, "41").lines == [first, f"    {'b' * 41} ccc", ""]


@pytest.mark.posix("a pseudo-terminal")
def test_what_follows_the_first_row_is_no_longer_than_the_terminal_is_wide() -> None:
    program = "import sys; from tests.cli.hostile import *; Report().error(BannoCredsError('x ' + 'y' * 200))"
    rows = ["✗   x", "    " + "y" * 76, "    " + "y" * 76, "    " + "y" * 48]
    assert at_terminal("-c", program).lines == [*rows, ""]


@pytest.mark.posix("a pseudo-terminal")
def test_the_command_of_a_hint_has_a_line_of_its_own_that_is_never_wrapped() -> None:
    program = (
        "import sys; from tests.cli.hostile import *\n"
        "error = BannoCredsError('no', hint='do this', rule='invalid_client').but(doctor_can_tell=True)\n"
        "Report().error(error, 'banno-creds doctor ' + '--x y ' * 30 + 'z')\n"
    )
    command = "    banno-creds doctor " + "--x y " * 30 + "z"
    more = "    More: banno-creds explain invalid_client"
    assert at_terminal("-c", program).lines == ["✗   No", "    Next: do this:", command, more, ""]
    assert at_terminal("-c", program, stderr=False).stderr.splitlines()[2] == command


@pytest.mark.posix("a pseudo-terminal")
def test_what_is_to_be_copied_is_never_wrapped() -> None:
    program = (
        "import sys; from tests.cli.hostile import *; Report().verbatim('curl ' + 'x ' * 100 + '\\\\\\n  --data y')"
    )
    seen = at_terminal("-c", program)
    assert seen.lines == ["    curl " + "x " * 100 + "\\", "      --data y", ""]


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1"}, {"COLUMNS": "40"}], ids=str)
def test_nothing_is_wrapped_in_a_pipe(process: Cli, env: dict[str, str]) -> None:
    result = process(*DECODE[2:], env=env)
    lines = _SGR.sub("", result.stderr).splitlines()
    assert max(map(len, lines)) > 200
    assert sum('"scope"' in line for line in lines) == 1


@pytest.mark.once
@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize(
    ("env", "on_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": ""}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "unknown"}, False, False),
    ],
    ids=str,
)
def test_colours_are_as_the_environment_says(env: dict[str, str], *, on_terminal: bool, in_pipe: bool) -> None:
    seen = at_terminal(*DECODE, env=env)
    assert (seen.code, "\x1b" in seen.screen) == (6, on_terminal)
    piped = at_terminal(*DECODE, env=env, stdout=True, stderr=False)
    assert (piped.code, "\x1b" in piped.stderr, piped.screen) == (6, in_pipe, "")


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1"}], ids=str)
def test_result_is_plain_even_on_a_terminal(process: Cli, env: dict[str, str]) -> None:
    token = jwt({"aud": "x" * 200, "exp": NOW})
    plain = process("decode", token).stdout
    assert at_terminal("-m", "banno_creds", "decode", token, env=env, stdout=True, stderr=False).screen == plain
    assert at_terminal("-m", "banno_creds", "decode", token, env=env).stdout == plain


@pytest.mark.posix("a pseudo-terminal")
def test_terminal_narrower_than_can_be_served_is_served_all_the_same() -> None:
    seen = at_terminal(*DECODE, columns=10)
    assert seen.code == 6
    assert max(map(cell_len, seen.lines)) <= 4 + 20 + 6


def test_encoding_without_our_signs_is_no_failure(process: Cli) -> None:
    result = process("decode", "a.b", env={"PYTHONIOENCODING": "ascii"})
    assert (result.code, result.stdout) == (6, "")
    assert result.stderr.startswith("x   This is no JWT")


# ── Streams that cannot be written to ───────────────────────────────────────────────────────────────────────────


def decode(*args: str, **streams: Any) -> subprocess.Popen[bytes]:
    """Start to decode a token."""
    return subprocess.Popen(
        [sys.executable, "-m", "banno_creds", "decode", *args],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )


def shell(command: str, token: str = LONG) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which ``"$@"`` is the program and ``$TOKEN`` a token."""
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "banno_creds"],
        env=os.environ | {"TOKEN": token},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


LARGE = jwt({"text": "x" * 90_000})


@pytest.mark.posix("streams of a shell")
@pytest.mark.parametrize("token", [LONG, LARGE], ids=["small", "larger than a buffer"])
@pytest.mark.parametrize(
    ("redirection", "words"),
    [(">/dev/full", "No space left on device"), (">&-", "it is closed")],
    ids=["full", "closed"],
)
def test_result_that_cannot_be_written_is_an_error_in_words(redirection: str, words: str, token: str) -> None:
    done = shell(f'"$@" decode -q "$TOKEN" {redirection}', token)
    said = (
        f"✗   The result could not be written to standard output: {words}\n"
        "    Next: check where standard output goes; the result is lost\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


@pytest.mark.posix("streams of a shell")
@pytest.mark.parametrize("args", ["--version", "--help", "token -h", "help token"])
def test_help_that_cannot_be_written_is_an_error_in_words(args: str) -> None:
    done = shell(f'"$@" {args} >/dev/full')
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("✗   The result could not be written to standard output: No space left on device\n")


@pytest.fixture
def gone() -> Iterator[int]:
    """The end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_has_enough_is_no_failure_worth_words(unbuffered: str) -> None:
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with decode("-q", "-", stdin=subprocess.PIPE, env=env) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdin.write(LARGE.encode())
        running.stdin.close()
        assert running.stdout.read(1) == b"{"
        running.stdout.close()
        assert (running.stderr.read(), running.wait(60)) == (b"", 141)


def test_reader_that_has_gone_is_no_failure_worth_words(gone: int) -> None:
    with decode("-q", LONG, stdout=gone) as running:
        assert (running.communicate(timeout=60)[1], running.returncode) == (b"", 141)


@pytest.mark.posix("streams of a shell")
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_steps_that_nobody_can_read_do_not_cost_the_result(redirection: str) -> None:
    expected = shell('"$@" decode "$TOKEN"')
    done = shell(f'"$@" decode "$TOKEN" {redirection}')
    assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, "")


def test_reader_of_the_steps_that_has_gone_does_not_cost_the_result(gone: int) -> None:
    with decode(LONG) as usual, decode(LONG, stderr=gone) as running:
        expected, said = usual.communicate(timeout=60)
        assert said
        assert (running.communicate(timeout=60)[0], running.returncode) == (expected, 0)


@pytest.mark.posix("streams of a shell")
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_error_that_nobody_can_read_keeps_its_exit_code(redirection: str) -> None:
    done = shell(f'"$@" decode a.b {redirection}')
    assert (done.returncode, done.stdout, done.stderr) == (6, "", "")


class _Broken(io.StringIO):
    failure: OSError = BrokenPipeError(errno.EPIPE, "Broken pipe")

    def write(self, text: str, /) -> int:
        del text
        raise self.failure


def test_write_result_leaves_a_broken_pipe_to_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", _Broken())
    with pytest.raises(BrokenPipeError):
        write_result("x")


def test_write_result_says_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Broken()
    stream.failure = OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(OutputError, match="standard output: Input/output error"):
        write_result("x")
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="standard output: it is closed"):
        write_result("x")


def test_write_result_ends_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_result("[red]x[/red]")
    assert capsys.readouterr() == ("[red]x[/red]\n", "")


@pytest.mark.parametrize(
    "failure", [BrokenPipeError(errno.EPIPE, "x"), OSError(errno.ENOSPC, "x")], ids=["pipe", "full"]
)
def test_report_goes_on_in_silence_when_stderr_fails(monkeypatch: pytest.MonkeyPatch, failure: OSError) -> None:
    stream = _Broken()
    stream.failure = failure
    monkeypatch.setattr(sys, "stderr", stream)
    show_everything("text")


def test_report_without_stderr_is_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    show_everything("text")
    assert capsys.readouterr() == ("", "")


# ── What is said ────────────────────────────────────────────────────────────────────────────────────────────────

SECRET = "c2VjcmV0c2lnbmF0dXJl"
ASSERTION = jwt({"jti": "bfbaaa5b-aa91-45d0-aba2-999d57f08500"}, {"alg": "PS256"}, SECRET)
HEADER, CLAIMS, _ = ASSERTION.split(".")
ACCESS_TOKEN = jwt({"clientName": "Test Application"}, {"alg": "RS256"}, SECRET)
FORM = (("grant_type", "client_credentials"), ("client_assertion", ASSERTION), ("scope", "openid"))

SAID: dict[str, tuple[steps.Step, str, str]] = {
    "KeyLoaded": (
        steps.KeyLoaded("private.pem", "RSA 2048", "PS256", "SHA256:8mKq"),
        "    private.pem · RSA 2048 · PS256\n    SHA256:8mKq\n",
        "Private key",
    ),
    "EndpointDiscovered": (
        steps.EndpointDiscovered("https://issuer.example", "jwks_uri", "https://issuer.example/jwks"),
        "    issuer https://issuer.example\n    jwks_uri https://issuer.example/jwks\n",
        "Discovery",
    ),
    "AssertionBuilt": (
        steps.AssertionBuilt({"aud": "https://x/token", "exp": NOW + 60}, NOW),
        (
            "    {\n"
            '      "aud": "https://x/token",\n'
            '      "exp": 1795276861   ← in 60 s, 2026-11-21 16:01:01 UTC\n'
            "    }\n"
        ),
        "JWT payload",
    ),
    "AssertionBuilt without exp": (steps.AssertionBuilt({}, NOW), "    {\n    }\n", "JWT payload"),
    "AssertionSigned": (
        steps.AssertionSigned({"alg": "PS256"}, ASSERTION),
        f'    {{"alg": "PS256"}}\n    {HEADER}.{CLAIMS[:24]}….(signature left out)\n',
        "Signed JWT",
    ),
    "TokenRequested": (
        steps.TokenRequested("https://x/token", FORM),
        (
            "    POST https://x/token\n"
            "    grant_type=client_credentials\n"
            "    client_assertion=(the signed JWT)\n"
            "    scope=openid\n"
        ),
        "Token request",
    ),
    "TokenRequested again": (
        steps.TokenRequested("https://x/token", (), 2),
        "    the same, with a freshly signed JWT\n",
        "Token request (attempt 2)",
    ),
    "AnswerReceived": (
        steps.AnswerReceived(200, "OK", 0.1824, "7c1e"),
        "    200 OK in 182 ms · x-request-id 7c1e\n",
        "Token response",
    ),
    "AnswerReceived without words": (
        steps.AnswerReceived(418, "", 2.5, None),
        "    418 in 2500 ms\n",
        "Token response",
    ),
    "TryingAgain": (
        steps.TryingAgain("the server cannot answer now", 1.23, 2, 3),
        "    attempt 2 of 3, because the server cannot answer now\n",
        "Trying again in 1.2 s",
    ),
    "TokenReceived": (
        steps.TokenReceived(
            "Bearer", 600, NOW + 600, "openid", {"clientName": "App", "institutionId": "3f85"}, ACCESS_TOKEN
        ),
        (
            "    Bearer · 600 s, until 2026-11-21 16:10:01 UTC · scope openid\n"
            "    App · institution 3f85\n"
            f"    {ACCESS_TOKEN[:8]}… ({len(ACCESS_TOKEN)} characters, shortened)\n"
        ),
        "Access token",
    ),
    "TokenReceived, opaque": (
        steps.TokenReceived("", None, None, None, {"clientName": 5, "institutionId": None}, "opaque"),
        "    (no token_type)\n    (not shown: it is short)\n",
        "Access token",
    ),
    "SignatureVerified": (
        steps.SignatureVerified("RS256", "RSA 2048 from public.pem", ("iss https://x", "aud y")),
        (
            "    the signature holds: RS256, RSA 2048 from public.pem\n"
            "    as asked: iss https://x\n"
            "    as asked: aud y\n"
            "    not expired\n"
        ),
        "Verified",
    ),
}


@pytest.mark.parametrize(("step", "lines", "title"), SAID.values(), ids=SAID)
def test_steps_say_what_happened(
    capsys: pytest.CaptureFixture[str], step: steps.Step, lines: str, title: str
) -> None:
    Report().step(step)
    assert capsys.readouterr() == ("", f" 1  {title}\n{lines}")


def test_steps_are_numbered(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    for _ in range(11):
        report.step(steps.NothingVerified())
    titles = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("    ")]
    assert (titles[0], titles[-1]) == (" 1  Not verified", "11  Not verified")


def test_quiet_leaves_out_steps_and_not_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(quiet=True)
    for step in STEP_CLASSES:
        if step is not steps.Warned:
            report.step(sample(step, "text"))
    report.step(steps.Warned("others can read private.pem", hint="chmod 600 private.pem"))
    report.step(steps.Warned("no hint"))
    report.error(BannoCredsError("it failed", hint="do this", details=("one", "two")))
    report.error(BannoCredsError("127.0.0.1 refused"))
    assert capsys.readouterr() == (
        "",
        (
            "!   Others can read private.pem\n"
            "    chmod 600 private.pem\n"
            "!   No hint\n"
            "✗   It failed\n"
            "    one\n"
            "    two\n"
            "    Next: do this\n"
            "✗   127.0.0.1 refused\n"
        ),
    )


@pytest.mark.parametrize(
    "step",
    [
        steps.AssertionSigned({"alg": "PS256"}, ASSERTION),
        steps.TokenRequested("https://x/token", FORM),
        steps.TokenReceived("Bearer", 600, NOW + 600, "openid", {}, ACCESS_TOKEN),
    ],
    ids=lambda step: type(step).__name__,
)
def test_secrets_are_shown_only_on_request(capsys: pytest.CaptureFixture[str], step: steps.Step) -> None:
    secret = ACCESS_TOKEN if isinstance(step, steps.TokenReceived) else ASSERTION
    Report().step(step)
    shown = capsys.readouterr().err
    assert SECRET not in shown
    assert secret not in shown
    Report(show_secrets=True).step(step)
    assert secret in capsys.readouterr().err
    assert SECRET not in repr(step)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("", "(not shown: it is short)"),
        ("a" * 32, "(not shown: it is short)"),
        ("a" * 33, "aaaaaaaa… (33 characters, shortened)"),
        (base64url(bytes(600)), "AAAAAAAA… (800 characters, shortened)"),
    ],
)
def test_shortened_token_is_recognised_and_useless(token: str, shown: str) -> None:
    assert shorten(token) == shown


def test_notes_are_shown_though_steps_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(quiet=True)
    report.note("Next:", "do this", "do that")
    report.verbatim("curl \\\n  x")
    assert capsys.readouterr() == ("", "Next:\n    do this\n    do that\n    curl \\\n      x\n")
