"""A refusal that hides its reason: what is told of it here and now, and the command that looks further."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import shlex
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds import KeySource, TokenSource, shells
from banno_creds.config import ENVIRONMENTS, ClientConfig
from banno_creds.doctor import case, examination
from banno_creds.errors import RefusedError
from banno_creds.tokens.client_credentials import ClientCredentials
from tests.conftest import CLIENT_ID, instead, write_private
from tests.programs import NOTHING
from tests.servers.loopback import Says
from tests.terminal import at_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.conftest import Cli, How, Result
    from tests.servers.scripted import ScriptedServer

    Configs = Callable[[list[str], Mapping[str, str]], list[ClientConfig]]

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("folder")]

COMMANDS = {
    "client-assertion": ([], []),
    "token": ([], []),
    "exec": ([], ["--", *NOTHING]),
    "api": (["--api-base", "http://127.0.0.1:9"], ["/a"]),
}
each_command = pytest.mark.parametrize("command", COMMANDS)

MESSAGE = "✗   The server refused the client: invalid_client — client authentication failed"
FIND_OUT = "find out which of its many reasons it has"
NOT_HERE = [
    "the bank has another public key than yours",
    "the bank does not know this client ID",
    "the application is not set up for Signed JWT",
    "the application is registered for another algorithm",
    "the application is not a Service account",
]
A_KID = ["a kid is sent, and the registered PEM has none", "no registered key has this kid"]


@pytest.fixture(autouse=True)
def _refusing(server: ScriptedServer) -> None:
    server.says(REFUSED)


def refusal(error: str, description: str, status: int = 400, **headers: str) -> Says:
    body = json.dumps({"error": error, "error_description": description}).encode()
    return Says(status, body, {"content-type": "application/json", **headers})


REFUSED = refusal("invalid_client", "client authentication failed", 401)


@pytest.fixture
def client(ec_pem: Path, server: ScriptedServer) -> list[str]:
    return ["--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", server.url]


@pytest.fixture
def ask(cli: Cli, client: list[str]) -> Callable[..., Result]:
    """Run a command for the client; what is given besides is typed after the client."""

    def run(command: str, *more: str, env: Mapping[str, str] | None = None) -> Result:
        before, after = COMMANDS[command]
        usual = [word for pair in zip(client[::2], client[1::2], strict=True) if pair[0] not in more for word in pair]
        return cli(command, "-q", *before, *usual, *more, *after, env=env)

    return run


def details_of(result: Result) -> dict[str, list[str]]:
    """What an error without a cause has ruled out, and what it leaves, in order."""
    lines = [line.strip() for line in result.stderr.splitlines()]
    [ruled_out] = [line for line in lines if line.startswith(HIDES)]
    [left] = [line for line in lines if line.startswith("left: ")]
    return {
        "ruled out": ruled_out.removeprefix(HIDES).split(", "),
        "left": left.removeprefix("left: ").split("; "),
    }


HIDES = "this answer hides the reason; ruled out here: "


def command_in(result: Result) -> list[str]:
    """The words of the command that the hint ends with, which has the line after it to itself."""
    lines = result.stderr.splitlines()
    [number] = [number for number, line in enumerate(lines) if line.startswith("    Next: ")]
    assert lines[number].endswith(f" {FIND_OUT}:")
    if os.name != "nt":
        return shlex.split(lines[number + 1])
    # As Windows PowerShell reads it, and the program what is passed on: two quotes stand for one.
    words = re.findall(r"'((?:[^']|'')*)'|\"([^\"]*)\"|(\S+)", lines[number + 1])
    return [
        "" if single == '""' else single.replace("''", "'").replace('""', '"') or double or bare
        for single, double, bare in words
    ]


# --- what is told ---------------------------------------------------------------------------------------------------


@each_command
def test_what_is_ruled_out_and_what_is_left_is_said_and_nobody_is_asked_again(
    ask: Callable[..., Result], server: ScriptedServer, client: list[str], command: str
) -> None:
    result = ask(command)
    assert (result.code, result.stdout) == (4, "")
    message, whose, exchange, ruled_out, left, hint, doctors, more = result.stderr.splitlines()
    assert message == MESSAGE
    assert whose == f"    client {CLIENT_ID}"
    assert exchange == f"    401 Unauthorized from {server.url} · application/json"
    assert ruled_out.startswith(f"    {HIDES}")
    assert left.startswith("    left: ")
    assert hint == f"    Next: {FIND_OUT}:"
    assert doctors == f"    {shells.join(['banno-creds', 'doctor', *client])}"
    assert more == "    More: banno-creds explain invalid_client"
    assert [request.path for request in server.requests] == ["/token"]


def test_only_what_is_known_for_certain_is_ruled_out(ask: Callable[..., Result]) -> None:
    """The key that the bank has is nowhere in the answer, and no page says that this is the token endpoint's name."""
    assert details_of(ask("client-assertion")) == {
        "ruled out": [
            "something copied along with the client ID",
            "alg",
            "sub",
            "iss",
            "kid",
            "exp",
            "jti",
            "the clock",
        ],
        "left": [*NOT_HERE, "the claim aud is not the token endpoint"],
    }


def test_a_kid_that_is_sent_is_left_and_comes_first(ask: Callable[..., Result]) -> None:
    details = details_of(ask("client-assertion", "--kid", "thumbprint"))
    assert "kid" not in details["ruled out"]
    assert details["left"][:3] == [*A_KID, NOT_HERE[0]]
    without = details_of(ask("client-assertion"))
    assert "kid" in without["ruled out"]
    assert not set(A_KID) & set(without["left"])


def test_aud_is_ruled_out_where_the_endpoint_is_documented(
    ask: Callable[..., Result], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "here", server.url)
    details = details_of(ask("client-assertion"))
    assert "aud" in details["ruled out"]
    assert details["left"] == NOT_HERE


def test_aud_is_ruled_out_where_the_endpoint_is_discovered(
    cli: Cli, client: list[str], server: ScriptedServer
) -> None:
    issuer = server.url.removesuffix("/token")
    server.says(Says(body=json.dumps({"issuer": issuer, "token_endpoint": server.url}).encode()), REFUSED)
    result = cli("client-assertion", "-q", *client[:4], "--issuer", issuer)
    assert result.code == 4
    details = details_of(result)
    assert "aud" in details["ruled out"]
    assert details["left"] == NOT_HERE
    assert command_in(result) == ["banno-creds", "doctor", *client[:4], "--issuer", issuer]
    assert [request.path for request in server.requests] == ["/.well-known/openid-configuration", "/token"]


def test_what_is_odd_is_left_before_what_the_bank_has(ask: Callable[..., Result]) -> None:
    result = ask("client-assertion", "--client-id", CLIENT_ID.upper())
    assert details_of(result)["left"][:2] == ["the client ID is in the wrong case", NOT_HERE[0]]


def test_what_is_odd_and_taken_by_the_server_is_left_after_it(ask: Callable[..., Result]) -> None:
    left = details_of(ask("client-assertion", "--claim", "tenant=7"))["left"]
    assert left.index("the assertion has unexpected claims") > left.index(NOT_HERE[0])


NAMED = {
    "unknown client": "client.unknown",
    "JWT signature verification failed": "registration.key.mismatch",
    "invalid audience": "assertion.aud.mismatch",
    "the assertion has expired": "assertion.exp.past",
    "jti has been used before": "assertion.jti.replayed",
    "alg not allowed": "registration.alg",
    "the client is disabled": "client.disabled",
    "your IP address is not allowed": "client.address",
}


@pytest.mark.parametrize(("said", "rule"), NAMED.items())
@pytest.mark.parametrize("error", ["invalid_client", "invalid_request", "access_denied"])
def test_the_cause_that_the_server_names_is_the_first_word_and_the_doctor_agrees(
    ask: Callable[..., Result], cli: Cli, client: list[str], server: ScriptedServer, said: str, rule: str, error: str
) -> None:
    server.says(refusal(error, said, 401))
    result = ask("client-assertion")
    assert (result.code, result.stdout) == (4, "")
    assert f"the server's words are about {rule}: " in result.stderr
    assert result.stderr.endswith(f"More: banno-creds explain {rule}\n")
    assert "hides the reason" not in result.stderr
    assert "ruled out" not in result.stderr
    assert "; to look at all of it:\n    banno-creds doctor " in result.stderr
    found = json.loads(cli("doctor", *client, "-o", "json").stdout)["diagnosis"]
    assert (found["causes"][0]["rule"], found["named"][0]) == (rule, rule)
    assert rule not in [one["rule"] for one in found["ruled_out"]]
    text = cli("doctor", *client).stdout
    assert text.index("What the server says it comes from") < text.index(f"1. {rule}: ")


@pytest.mark.parametrize(
    "answer",
    [
        Says(400, b""),
        Says(401, b""),
        Says(403, b""),
        Says(401, b"Unauthorized", {"content-type": "text/plain"}),
        Says(403, b'{"message": "Forbidden"}', {"content-type": "application/json"}),
        refusal("invalid_request", "", 400),
        refusal("invalid_request", "Bad Request", 400),
        refusal("access_denied", "Unauthorized", 401),
        refusal("Unauthorized", "", 401),
        refusal("unauthorized_client", "Invalid client or Invalid client credentials", 400),
    ],
    ids=str,
)
def test_a_refusal_of_any_shape_that_names_nothing_has_the_same_causes(
    ask: Callable[..., Result], cli: Cli, client: list[str], server: ScriptedServer, answer: Says
) -> None:
    server.says(answer)
    result = ask("token")
    assert result.code == 4
    assert details_of(result)["left"][: len(NOT_HERE)] == NOT_HERE
    assert command_in(result)[:2] == ["banno-creds", "doctor"]
    found = cli("doctor", *client)
    assert found.code == 4
    assert "1. registration.key.mismatch" in found.stdout
    assert "--probe" in found.stdout


def test_a_status_of_no_token_endpoint_says_nothing_beside_an_oauth_error(
    ask: Callable[..., Result], server: ScriptedServer
) -> None:
    server.says(refusal("invalid_client", "no", 404))
    assert details_of(ask("token"))["left"][: len(NOT_HERE)] == NOT_HERE


@pytest.mark.parametrize("status", [404, 405, 413, 415, 421, 431])
def test_a_status_of_no_token_endpoint_is_likely_the_url_and_not_for_certain(
    ask: Callable[..., Result], cli: Cli, client: list[str], server: ScriptedServer, status: int
) -> None:
    server.says(Says(status, b""))
    result = ask("token")
    assert details_of(result)["left"] == [
        "the answer is not the provider's",
        *NOT_HERE,
        "the claim aud is not the token endpoint",
    ]
    assert "Next: check the token endpoint's URL; to look at all of it:\n" in result.stderr
    assert f"1. network.answer: The answer is not the provider's ({status} is" in cli("doctor", *client).stdout


@pytest.mark.parametrize("kind", ["Bearer", "bearer", ""])
def test_a_token_type_that_api_takes_is_no_finding(
    cli: Cli, client: list[str], server: ScriptedServer, kind: str
) -> None:
    server.says(Says(200, json.dumps({"access_token": "a", "token_type": kind, "expires_in": 60}).encode()))
    assert "token.type" not in cli("doctor", *client).stdout


def test_a_token_type_that_api_refuses_is_a_warning(cli: Cli, client: list[str], server: ScriptedServer) -> None:
    server.says(Says(200, b'{"access_token": "a", "token_type": "DPoP", "expires_in": 60}'))
    result = cli("doctor", *client)
    assert result.code == 0
    assert "token.type." in result.stdout.splitlines()[-1]
    header = cli("token", "-q", *client, "-o", "header")
    assert (header.code, header.stderr.endswith("More: banno-creds explain token.type\n")) == (5, True)


@each_command
def test_a_rule_that_fails_is_the_cause_with_what_was_received_and_expected_and_the_fix(
    ask: Callable[..., Result], server: ScriptedServer, client: list[str], command: str
) -> None:
    result = ask(command, "--aud", f"{server.url}/")
    assert (result.code, result.stdout) == (4, "")
    message, _, _, cause, hint, doctors, more = result.stderr.splitlines()
    assert message == MESSAGE
    assert cause.startswith(f'    assertion.aud.mismatch: received "aud" "{server.url}/"')
    assert f'; expected "{server.url}"' in cause
    assert hint.startswith("    Next: set aud to the exact URL that the token request goes to")
    assert hint.endswith("; to look at all of it:")
    words = ["banno-creds", "doctor", *client[:4], "--aud", f"{server.url}/", *client[4:]]
    assert doctors == f"    {shells.join(words)}"
    assert more == "    More: banno-creds explain assertion.aud.mismatch"
    assert len(server.requests) == 1


@each_command
def test_a_client_id_that_was_never_filled_in_is_refused_before_anything_is_sent(
    ask: Callable[..., Result], server: ScriptedServer, command: str
) -> None:
    result = ask(command, "--client-id", "your-client-id")
    assert (result.code, result.stdout) == (2, "")
    message, hint, more = result.stderr.splitlines()
    assert message.startswith("✗   The client ID 'your-client-id' is a placeholder")
    assert hint.startswith("    Next: give the one that Users & Groups shows")
    assert more == "    More: banno-creds explain client_id.placeholder"
    assert server.requests == []


@each_command
@pytest.mark.parametrize("mark", ['"', "'", "`"])
def test_a_client_id_in_quotation_marks_is_refused_before_anything_is_sent(
    ask: Callable[..., Result], server: ScriptedServer, command: str, mark: str
) -> None:
    result = ask(command, "--client-id", f"{mark}{CLIENT_ID}{mark}")
    assert (result.code, result.stdout) == (2, "")
    assert "has white space or quotation marks around it" in result.stderr
    assert "    Next: copy it again from Users & Groups" in result.stderr
    assert server.requests == []


def test_an_error_code_with_a_dot_does_not_choose_the_page_of_a_rule(
    ask: Callable[..., Result], server: ScriptedServer
) -> None:
    server.says(refusal("assertion.aud.mismatch", "no"))
    result = ask("client-assertion")
    assert result.code == 4
    assert result.stderr.startswith("✗   The server refused the request: assertion.aud.mismatch — no\n")
    assert "banno-creds explain" not in result.stderr


def test_a_claim_of_the_users_is_judged_too(ask: Callable[..., Result]) -> None:
    result = ask("client-assertion", "--claim", "nbf:=9999999999")
    assert '    assertion.nbf.future: received "nbf" 9999999999' in result.stderr


@pytest.mark.parametrize("more", [[], ["--aud", "http://localhost/token"]])
def test_a_refusal_that_is_remembered_says_the_same(
    ask: Callable[..., Result], server: ScriptedServer, more: list[str]
) -> None:
    first, again = (ask("token", *more).stderr.splitlines() for _ in range(2))
    age = [line for line in again if "s ago; not asked again" in line or "--force-refresh" in line]
    assert len(age) == 2
    assert [line for line in again if line not in age] == first
    assert len(server.requests) == 1


def test_the_hint_of_a_remembered_refusal_is_the_command_that_was_typed_now(
    ask: Callable[..., Result], client: list[str], server: ScriptedServer
) -> None:
    assert command_in(ask("token")) == ["banno-creds", "doctor", *client]
    assert command_in(ask("exec", "--timeout", "7")) == ["banno-creds", "doctor", *client, "--timeout", "7.0"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (
            "invalid_scope",
            "ask the administrator which scopes the application was given, and name them with --scope",
        ),
        ("invalid_target", "leave --resource out, or name one the application may use"),
        ("unauthorized_client", "Service account"),
    ],
)
def test_a_refusal_that_says_what_is_wrong_keeps_its_hint(
    ask: Callable[..., Result], server: ScriptedServer, error: str, hint: str
) -> None:
    server.says(refusal(error, "no"))
    message, _, exchange, said, more = ask("token").stderr.splitlines()
    assert message == f"✗   The server refused the request: {error} — no"
    assert exchange.startswith("    400 ")
    assert said.startswith("    Next: ")
    assert hint in said
    assert more == f"    More: banno-creds explain {error}"


# --- the time, by the clock of the server that refused --------------------------------------------------------------


@pytest.fixture
def clock_of_the_server(server: ScriptedServer, how: How) -> Callable[[int | None], None]:
    """Set by how many seconds the server's clock is ahead of ours; with None, its answers have no ``Date``."""

    now = int(time.time()) + 0.5  # a Date means the middle of its second
    how.clock = lambda: now

    def be(ahead: int | None) -> None:
        server.clock = None if ahead is None else lambda: now + ahead

    return be


@each_command
@pytest.mark.parametrize(
    ("ahead", "difference"), [(3600, r"1 h( \d+ s)? behind"), (-3600, r"(59 min 5\d s|1 h) ahead of")]
)
def test_a_clock_that_is_an_hour_off_is_the_cause(
    ask: Callable[..., Result],
    server: ScriptedServer,
    clock_of_the_server: Callable[[int | None], None],
    command: str,
    ahead: int,
    difference: str,
) -> None:
    clock_of_the_server(ahead)
    result = ask(command)
    assert (result.code, result.stdout) == (4, "")
    message, _, _, cause, hint, doctors, more = result.stderr.splitlines()
    assert message == MESSAGE
    # Half of the time that the answer took counts, whatever our clock says.
    assert re.match(f"    clock.skew: received {difference} the server's; expected less than 10 s", cause)
    assert hint == "    Next: set this machine's clock by NTP, and leave that on; to look at all of it:"
    assert doctors.startswith("    banno-creds doctor --client-id ")
    assert more == "    More: banno-creds explain clock.skew"
    assert len(server.requests) == 1


@pytest.mark.parametrize("ahead", [12, -12])
def test_a_clock_that_is_a_little_off_is_left_and_exp_is_ruled_out(
    ask: Callable[..., Result], clock_of_the_server: Callable[[int | None], None], ahead: int
) -> None:
    clock_of_the_server(ahead)
    details = details_of(ask("client-assertion"))
    assert "exp" in details["ruled out"]
    assert "the clock" not in details["ruled out"]
    assert details["left"][:2] == ["this machine's clock is off", NOT_HERE[0]]


def test_without_a_date_neither_the_clock_nor_exp_is_ruled_out(
    ask: Callable[..., Result], clock_of_the_server: Callable[[int | None], None]
) -> None:
    clock_of_the_server(None)
    details = details_of(ask("client-assertion"))
    assert not {"exp", "the clock"} & set(details["ruled out"])
    assert details["left"] == [*NOT_HERE, "the claim aud is not the token endpoint", "this machine's clock is off"]


def test_an_answer_that_was_kept_for_its_age_is_of_now(
    ask: Callable[..., Result], server: ScriptedServer, clock_of_the_server: Callable[[int | None], None]
) -> None:
    clock_of_the_server(-3600)
    server.says(refusal("invalid_client", "no", 401, age="3600"))
    assert {"exp", "the clock"} <= set(details_of(ask("client-assertion"))["ruled out"])
    clock_of_the_server(0)
    assert "    clock.skew: received " in ask("client-assertion").stderr


def test_a_refusal_by_the_clock_is_remembered_with_what_was_said_of_it(
    ask: Callable[..., Result], server: ScriptedServer, clock_of_the_server: Callable[[int | None], None]
) -> None:
    clock_of_the_server(3600)
    first = ask("token").stderr.splitlines()
    clock_of_the_server(0)
    again = ask("token").stderr.splitlines()
    assert first[3].startswith("    clock.skew: ")
    assert [line for line in again if line in first] == first
    assert len(server.requests) == 1


# --- the command in the hint ----------------------------------------------------------------------------------------

TYPED = {
    "quoted": ["--kid", 'it\'s a "kid" $HOME `x` *'],
    "flags": ["--iat", "--allow-writable-key"],
    "repeated": ["--resource", "https://a.example", "--resource", "https://b.example/?x=1&y"],
    "scopes": ["--scope", "openid full", "--scope", "a"],
    "no scope": ["--scope", ""],
    "numbers": ["--lifetime", "120", "--timeout", "2.5"],
    "alg": ["--alg", "ES256"],
    "issuer's own": ["--aud", "http://127.0.0.1/issuer"],
    "a value like an option": ["--kid", "-v"],
}


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Configs:
    """Run ``client-assertion`` and then the command in its hint: what each is configured to do."""

    def run(args: list[str], env: Mapping[str, str]) -> list[ClientConfig]:
        seen: list[ClientConfig] = []
        fetch, examine = ClientCredentials.fetch, examination.examine

        def fetch_token(self: ClientCredentials, *more: Any) -> Any:
            seen.append(self.config)
            try:
                return fetch(self, *more)
            except RefusedError as refused:  # whatever rule has failed, it is the hint that is looked at
                raise refused.but(hint=FIND_OUT, doctor_can_tell=True) from None

        def examining(setup: case.Setup, *more: Any, **options: Any) -> case.Examination:
            seen.append(setup.config)
            return examine(setup, *more, **options)

        with monkeypatch.context() as patch:
            patch.setattr(ClientCredentials, "fetch", fetch_token)
            patch.setattr(examination, "examine", examining)
            program, *words = command_in(cli("client-assertion", "-q", *args, env=env))
            assert program == "banno-creds"
            json.loads(cli(*words, "--offline", "-o", "json", env=env).stdout)
        # Two functions are never equal, though they do the same.
        return [replace(config, passphrase=print) for config in seen]

    return run


@pytest.mark.parametrize("name", TYPED)
def test_the_hints_command_looks_into_what_was_typed(configs: Configs, client: list[str], name: str) -> None:
    asked, examined = configs([*client, *TYPED[name]], {})
    assert examined == asked
    plain, _ = configs(client, {})
    assert asked != plain  # or the first two could not but be equal


def test_the_hints_command_names_what_was_typed_in_the_order_of_the_help(
    ask: Callable[..., Result], client: list[str]
) -> None:
    hint = command_in(ask("client-assertion", "--scope", "a b", "--iat", "--claim", "n:=1", "--kid", "k", "--curl"))
    more = ["--kid", "k", "--iat", "--claim", "n=…"]
    assert hint == ["banno-creds", "doctor", *client[:4], *more, *client[4:], "--scope", "a b"]


@each_command
def test_of_claims_and_parameters_only_the_names_are_in_the_hint(
    ask: Callable[..., Result], cli: Cli, client: list[str], server: ScriptedServer, command: str
) -> None:
    claims = ["--claim", "a=canary=1 x", "--claim", 'b:=["canary", 2]', "--claim", "c:=true"]
    params = ["--param", "d=canary", "--param", "d=canary 2", "--param", "e="]
    result = ask(command, *claims, *params)
    assert (result.code, result.stdout) == (4, "")
    assert server.requests[0].form["d"] == ["canary", "canary 2"]  # they are sent
    assert "canary" not in result.stderr
    claims = ["--claim", "a=…", "--claim", "b=…", "--claim", "c=…"]
    params = ["--param", "d=…", "--param", "d=…", "--param", "e=…"]
    words = command_in(result)
    assert words == ["banno-creds", "doctor", *client[:4], *claims, *client[4:], *params]
    assert json.loads(cli(*words[1:], "--offline", "-o", "json").stdout)  # it can be run as it is


@pytest.mark.parametrize(
    "name", ["key\u202e.pem", pytest.param("key\n.pem", marks=pytest.mark.posix("a name may have a line end in it"))]
)
@each_command
def test_a_command_that_cannot_be_shown_as_it_is_is_left_out(
    cli: Cli, client: list[str], server: ScriptedServer, ec_pem: Path, tmp_path: Path, command: str, name: str
) -> None:
    hidden = write_private(tmp_path / name, ec_pem.read_bytes())
    before, after = COMMANDS[command]
    result = cli(command, "-q", *before, *client[:2], "--private-key", hidden, *client[4:], *after)
    assert (result.code, result.stdout) == (4, "")
    hint, command_line, more = result.stderr.splitlines()[-3:]
    assert (hint, command_line) == (f"    Next: {FIND_OUT}:", "    banno-creds doctor")
    assert more == "    More: banno-creds explain invalid_client"
    assert len(server.requests) == 1


@pytest.mark.posix("there are pseudo-terminals")
def test_the_command_is_on_a_line_of_its_own_that_a_terminal_does_not_break(
    ec_pem: Path, client: list[str], server: ScriptedServer, folder: Path
) -> None:
    env = {"HOME": str(folder), "BANNO_CREDS_CACHE_DIR": str(folder)}
    seen = at_terminal("-m", "banno_creds", "client-assertion", "-q", *client, columns=60, env=env)
    doctors = shlex.join(["banno-creds", "doctor", *client])
    assert (seen.code, seen.stdout) == (4, "")
    number = seen.lines.index(f"    {doctors}")
    assert len(doctors) > 60
    assert seen.lines[number - 1].endswith(FIND_OUT.rpartition(" ")[2] + ":")
    assert max(len(line) for line in seen.lines if doctors not in line) <= 60
    assert len(server.requests) == 1


@each_command
def test_what_only_this_command_has_is_not_in_the_hint(
    ask: Callable[..., Result], client: list[str], command: str
) -> None:
    own = {
        "client-assertion": ["--curl", "-o", "header"],
        "token": ["--no-cache", "--min-ttl", "5", "-o", "env"],
        "exec": ["--force-refresh", "--show-secrets"],
        "api": ["-X", "POST", "-H", "A: b", "-f", "a=b", "--include"],
    }[command]
    assert command_in(ask(command, *own)) == ["banno-creds", "doctor", *client]


def test_nothing_from_variables_is_in_the_hint_and_with_them_it_comes_to_the_same(
    ask: Callable[..., Result], cli: Cli, configs: Configs, ec_pem: Path, server: ScriptedServer
) -> None:
    env = {
        "BANNO_CREDS_PRIVATE_KEY_PEM": ec_pem.read_text(),
        "BANNO_CREDS_TOKEN_ENDPOINT": server.url,
        "BANNO_CREDS_SCOPE": "openid full",
        "BANNO_CREDS_IAT": "1",
    }
    typed = ["--client-id", CLIENT_ID, "--kid", "k"]
    assert command_in(cli("token", *typed, env=env)) == ["banno-creds", "doctor", *typed]
    asked, examined = configs(typed, env)
    assert examined == asked
    assert (asked.scope, asked.iat, asked.private_key.origin) == (
        ("openid", "full"),
        True,
        "BANNO_CREDS_PRIVATE_KEY_PEM",
    )


def test_of_a_profile_its_name_alone_is_in_the_hint(
    cli: Cli, configs: Configs, ec_pem: Path, server: ScriptedServer, tmp_path: Path
) -> None:
    file = tmp_path / "the profiles.toml"
    file.write_text(
        f'[profiles.a]\nclient_id = "{CLIENT_ID}"\nprivate_key = {json.dumps(str(ec_pem))}\n'
        f'token_endpoint = "{server.url}"\nscope = "openid full"\n[profiles.a.claims]\nx = [1]\n'
    )
    typed = ["--profile", "a", "--config", str(file)]
    assert command_in(cli("token", *typed)) == ["banno-creds", "doctor", *typed]
    asked, examined = configs([*typed, "--lifetime", "90"], {})
    assert examined == asked
    assert (asked.scope, asked.lifetime, asked.claims) == (("openid", "full"), 90, {"x": [1]})


def test_the_key_is_never_in_the_hint(cli: Cli, ec_pem: Path, client: list[str]) -> None:
    """It comes by a variable or by standard input, and so would the doctor's."""
    pem = ec_pem.read_text()
    without = [*client[:2], *client[4:]]
    result = cli("token", *without, env={"BANNO_CREDS_PRIVATE_KEY_PEM": pem})
    assert command_in(result) == ["banno-creds", "doctor", *without]
    result = cli("token", "--no-cache", *instead(client, "--private-key", "-"), stdin=pem.encode())
    assert command_in(result) == ["banno-creds", "doctor", *instead(client, "--private-key", "-")]
    assert pem.splitlines()[1] not in result.stderr


# --- in Python ------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(ec_pem: Path, server: ScriptedServer) -> ClientConfig:
    return ClientConfig(CLIENT_ID, private_key=KeySource.file(ec_pem), token_endpoint=server.url)


def _by_source(config: ClientConfig) -> object:
    return TokenSource(config).token()


def _by_credentials(config: ClientConfig) -> object:
    return ClientCredentials(config).fetch()


@pytest.fixture(params=[_by_credentials, _by_source], ids=["fetch", "TokenSource"])
def fetch(request: pytest.FixtureRequest) -> Callable[[ClientConfig], object]:
    function: Callable[[ClientConfig], object] = request.param
    return function


def test_a_program_is_told_of_the_doctor_without_options(
    fetch: Callable[[ClientConfig], object], config: ClientConfig, server: ScriptedServer
) -> None:
    with pytest.raises(RefusedError) as refused:
        fetch(config)
    assert refused.value.hint == f"{FIND_OUT}: banno-creds doctor"
    assert (refused.value.error, refused.value.rule) == ("invalid_client", "invalid_client")
    assert [detail.partition(":")[0] for detail in refused.value.details[1:]] == [
        "this answer hides the reason; ruled out here",
        "left",
    ]
    assert len(server.requests) == 1


def test_a_program_is_told_of_the_rule_that_fails(
    fetch: Callable[[ClientConfig], object], config: ClientConfig, server: ScriptedServer
) -> None:
    with pytest.raises(RefusedError) as refused:
        fetch(replace(config, aud="http://localhost/token"))
    assert refused.value.details[1].startswith("assertion.aud.mismatch: received ")
    assert str(refused.value.hint).startswith("set aud to the exact URL that the token request goes to")
    assert str(refused.value.hint).endswith("; to look at all of it: banno-creds doctor")
    assert (refused.value.error, refused.value.rule) == ("invalid_client", "assertion.aud.mismatch")
    assert len(server.requests) == 1


def test_a_program_is_told_by_the_servers_clock(
    fetch: Callable[[ClientConfig], object],
    config: ClientConfig,
    clock_of_the_server: Callable[[int | None], None],
) -> None:
    clock_of_the_server(3600)
    with pytest.raises(RefusedError) as refused:
        fetch(config)
    assert refused.value.rule == "clock.skew"


@pytest.mark.parametrize(
    "pass_on", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
def test_a_refusal_that_is_passed_on_keeps_all_it_knows(pass_on: Callable[[RefusedError], RefusedError]) -> None:
    refused = RefusedError("no", hint="look:", rule="invalid_client", error="invalid_client", status=401)
    refused = refused.but(doctor_can_tell=True)
    assert vars(pass_on(refused)) == vars(refused)
