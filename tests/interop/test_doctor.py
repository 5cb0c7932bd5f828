"""`doctor` against oidc-provider: what it names first is the reason that the provider tells its operator.

Where nothing that can be looked at is wrong, the reason is in the group that it names, and not in what it rules out.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, RSAKey

from banno_creds.jose import keys
from banno_creds.rules.findings import Rule
from tests.conftest import CLIENT_ID, How, write_private
from tests.interop.refusals import ALG, AUD, NO_CLIENT, NO_KEY, SIGNATURE

from .conftest import REFUSED_SCOPE, REGISTRATION_NAMES, last_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.conftest import Cli

    from .conftest import Event, Provider, Registration

    Options = Callable[[Provider, Registration], Iterable[str | Path]]

AUTH_METHOD = "the provided authentication mechanism does not match the registered client authentication method"


class Seen(NamedTuple):
    """What doctor ended with and found, and what the provider's operator saw of it."""

    code: int
    said: dict[str, Any]
    events: list[Event]

    @property
    def causes(self) -> list[str]:
        return [cause["rule"] for cause in self.said["diagnosis"]["causes"]]

    @property
    def ruled_out(self) -> list[str]:
        return [one["rule"] for one in self.said["diagnosis"]["ruled_out"]]

    def with_verdict(self, *verdicts: str) -> list[str]:
        return [finding["rule"] for finding in self.said["findings"] if finding["verdict"] in verdicts]


def _setup(provider: Provider, registration: Registration, *more: str | Path) -> list[str | Path]:
    """A correct set-up, and what comes after it counts."""
    arguments: list[str | Path] = [
        *("--client-id", registration.client_id, "--private-key", registration.private_key_path),
        *("--alg", registration.alg, "--token-endpoint", provider.token_endpoint),
        *(["--kid", "thumbprint"] if registration.kid else []),
        *more,
    ]
    return last_of_each(arguments)


def _doctor(cli: Cli, provider: Provider, *args: str | Path, stdin: bytes = b"") -> Seen:
    provider.drain_events()
    result = cli("doctor", "--output", "json", *args, stdin=stdin)
    assert result.stderr == ""
    said = json.loads(result.stdout)
    assert said["exit_code"] == result.code
    return Seen(result.code, said, provider.drain_events())


def _ask(cli: Cli, provider: Provider, *args: str | Path) -> Event:
    """Ask for the token that doctor would not ask for, or ask again."""
    provider.drain_events()
    cli("client-assertion", "--quiet", *args)
    [event] = provider.drain_events()
    return event


def _registered(registration: Registration) -> list[str | Path]:
    return ["--registered", registration.jwks_uri or registration.registered_path]


# --- a correct set-up ---


def _pkcs8(key: keys.PrivateKey) -> bytes:
    return key.pem()


def _traditional(key: keys.PrivateKey) -> bytes:
    return key.native.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _der(key: keys.PrivateKey) -> bytes:
    return key.native.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _jwk(key: keys.PrivateKey) -> bytes:
    reader = RSAKey if key.type == "RSA" else ECKey
    return json.dumps(reader.import_key(key.pem()).as_dict(private=True)).encode()


def _encrypted(key: keys.PrivateKey) -> bytes:
    return key.pem(b"a passphrase for this test")


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
@pytest.mark.parametrize("form", [_pkcs8, _traditional, _der, _jwk, _encrypted], ids=lambda form: form.__name__[1:])
def test_a_correct_setup_has_no_finding_and_is_granted_one_token(
    cli: Cli, provider: Provider, tmp_path: Path, name: str, form: Callable[[keys.PrivateKey], bytes]
) -> None:
    registration = provider.registrations[name]
    key = keys.load_private_key(registration.private_key_path.read_bytes(), "the key")
    path = write_private(tmp_path / "key", form(key))
    more: list[str | Path] = ["--private-key", path, "--passphrase-file", "-", *_registered(registration)]
    seen = _doctor(cli, provider, *_setup(provider, registration, *more), stdin=b"a passphrase for this test\n")
    assert seen.with_verdict("fail", "warn", "unknown") == []
    assert (seen.code, seen.said["verdict"], seen.said["diagnosis"]) == (0, "pass", None)
    assert [event.event for event in seen.events] == ["grant.success"]


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
def test_what_the_bank_has_cannot_be_told_and_is_no_alarm(cli: Cli, provider: Provider, name: str) -> None:
    seen = _doctor(cli, provider, *_setup(provider, provider.registrations[name]))
    assert seen.with_verdict("fail", "warn") == []
    assert Rule.REGISTRATION_KEY_MISMATCH in seen.with_verdict("unknown")
    assert (seen.code, [event.event for event in seen.events]) == (0, ["grant.success"])


@pytest.mark.parametrize("name", ["any-alg-rsa", "any-alg-ec", "two-rsa-keys", "rsa-and-ec-keys", "PS256-jwks"])
def test_no_other_registration_is_an_alarm_either(cli: Cli, provider: Provider, name: str) -> None:
    registration = provider.registrations[name]
    seen = _doctor(cli, provider, *_setup(provider, registration, *_registered(registration)))
    assert seen.with_verdict("fail", "warn", "unknown") == []
    assert (seen.code, [event.event for event in seen.events]) == (0, ["grant.success"])


def test_discovery_is_another_way_to_the_same(cli: Cli, provider: Provider) -> None:
    registration = provider.registrations["PS256-pem"]
    ask: list[str | Path] = ["--client-id", registration.client_id, "--private-key", registration.private_key_path]
    seen = _doctor(cli, provider, *ask, "--issuer", provider.issuer, *_registered(registration))
    assert seen.with_verdict("fail", "warn", "unknown") == []
    assert (seen.code, [event.event for event in seen.events]) == (0, ["grant.success"])


# --- what can be looked at ---


class Fault(NamedTuple):
    """A fault in the set-up: the options that make it, the rule that names it, the provider's words.

    Without words no command sends it.
    """

    name: str
    registration: str
    rule: Rule
    error_detail: str
    options: Options
    registered: bool = True


def _always(*options: str) -> Options:
    return lambda *_: options


def _key_of(name: str) -> Options:
    return lambda provider, _: ["--private-key", provider.registrations[name].private_key_path]


def _kid_of_second(_: Provider, registration: Registration) -> list[str]:
    assert registration.second is not None
    return ["--kid", str(registration.second.kid)]


FOUND = (
    Fault("another key", "PS256-pem", Rule.REGISTRATION_KEY_MISMATCH, SIGNATURE, _key_of("any-alg-rsa")),
    Fault("another EC key", "ES256-pem", Rule.REGISTRATION_KEY_MISMATCH, SIGNATURE, _key_of("any-alg-ec")),
    Fault(
        "a key of another type",
        "any-alg-rsa",
        Rule.REGISTRATION_KEY_MISMATCH,
        NO_KEY,
        lambda provider, _: ["--alg", "ES256", *_key_of("any-alg-ec")(provider, _)],
    ),
    # Its kid is the thumbprint, and that is not there either.
    Fault("a JWKS with another key", "RS256-jwks-uri", Rule.REGISTRATION_KEY_MISMATCH, NO_KEY, _key_of("RS256-pem")),
    Fault("a kid with a PEM", "PS256-pem", Rule.KID_UNEXPECTED, NO_KEY, _always("--kid", "my-key")),
    Fault("the thumbprint with a PEM", "ES256-pem", Rule.KID_UNEXPECTED, NO_KEY, _always("--kid", "thumbprint")),
    Fault("a kid not in the JWKS", "PS256-jwks-uri", Rule.KID_UNKNOWN, NO_KEY, _always("--kid", "my-key")),
    Fault("the kid of the other key", "two-rsa-keys", Rule.KID_OTHER_KEY, SIGNATURE, _kid_of_second),
    Fault("an alg the JWK is not for", "rsa-and-ec-keys", Rule.ALG_KEY_MISMATCH, NO_KEY, _always("--alg", "RS256")),
    Fault(
        "aud with a slash",
        "PS256-pem",
        Rule.AUD_MISMATCH,
        AUD,
        lambda provider, _: ["--aud", f"{provider.token_endpoint}/"],
    ),
    Fault(
        "aud the issuer with a slash",
        "ES256-pem",
        Rule.AUD_MISMATCH,
        AUD,
        lambda provider, _: ["--aud", f"{provider.issuer}/"],
    ),
    Fault(
        "aud of another environment",
        "RS256-pem",
        Rule.AUD_MISMATCH,
        AUD,
        _always("--aud", "http://localhost:1/token"),
    ),
    Fault(
        "aud with another scheme",
        "PS256-jwks-uri",
        Rule.AUD_MISMATCH,
        AUD,
        lambda provider, _: ["--aud", provider.token_endpoint.replace("http:", "https:")],
    ),
    Fault("nbf ahead", "PS256-pem", Rule.NBF_FUTURE, "jwt not active yet", _always("--claim", "nbf:=9999999999")),
    Fault("nbf a string", "ES256-pem", Rule.NBF_MALFORMED, "invalid nbf value", _always("--claim", "nbf=now")),
    Fault("a placeholder", "PS256-pem", Rule.CLIENT_ID_PLACEHOLDER, "", _always("--client-id", "YOUR_CLIENT_ID")),
)


def _id(fault: Fault) -> str:
    return fault.name.replace(" ", "-")


@pytest.mark.parametrize("fault", FOUND, ids=_id)
def test_a_fault_that_can_be_seen_is_named_before_anybody_is_asked(
    cli: Cli, provider: Provider, fault: Fault
) -> None:
    registration = provider.registrations[fault.registration]
    setup = _setup(provider, registration, *fault.options(provider, registration))
    seen = _doctor(cli, provider, *setup, *_registered(registration))
    assert seen.events == []
    assert seen.code != 0
    assert seen.causes[0] == fault.rule
    if fault.error_detail:
        assert _ask(cli, provider, *setup, "--allow-other-aud").error_detail == fault.error_detail
    else:
        assert cli("client-assertion", "--quiet", *setup).code == 2
        assert provider.drain_events() == []


# --- what cannot be told apart from outside ---

HIDDEN = (
    Fault(
        "another key",
        "PS256-pem",
        Rule.REGISTRATION_KEY_MISMATCH,
        SIGNATURE,
        _key_of("any-alg-rsa"),
        registered=False,
    ),
    Fault("an unknown client ID", "PS256-pem", Rule.CLIENT_UNKNOWN, NO_CLIENT, _always("--client-id", CLIENT_ID)),
    Fault(
        "an unknown client ID, and no key to compare",
        "ES256-pem",
        Rule.CLIENT_UNKNOWN,
        NO_CLIENT,
        _always("--client-id", CLIENT_ID),
        registered=False,
    ),
    Fault(
        "a client ID in capitals",
        "RS256-pem",
        Rule.CLIENT_ID_CASE,
        NO_CLIENT,
        lambda _, registration: ["--client-id", f"{registration.client_id[:-1]}A"],
    ),
    Fault("for a client secret", "client-secret", Rule.REGISTRATION_AUTH_METHOD, AUTH_METHOD, _always()),
    Fault(
        "for a client secret, and no key to compare",
        "client-secret",
        Rule.REGISTRATION_AUTH_METHOD,
        AUTH_METHOD,
        _always(),
        registered=False,
    ),
    Fault("another alg", "RS256-pem", Rule.REGISTRATION_ALG, ALG, _always("--alg", "PS256")),
    Fault(
        "another alg, and no key to compare",
        "PS256-pem",
        Rule.REGISTRATION_ALG,
        ALG,
        _always("--alg", "RS256"),
        registered=False,
    ),
    Fault("a kid with a PEM", "PS256-pem", Rule.KID_UNEXPECTED, NO_KEY, _always("--kid", "my-key"), registered=False),
    Fault(
        "a kid not in the JWKS",
        "ES256-jwks-uri",
        Rule.KID_UNKNOWN,
        NO_KEY,
        _always("--kid", "my-key"),
        registered=False,
    ),
    # The provider's router takes these addresses for the token endpoint's, and its audience is another.
    Fault(
        "a token endpoint with a slash",
        "PS256-pem",
        Rule.DISCOVERY_TOKEN_ENDPOINT,
        AUD,
        lambda provider, _: ["--token-endpoint", f"{provider.token_endpoint}/"],
    ),
    Fault(
        "a token endpoint in capitals",
        "PS256-pem",
        Rule.DISCOVERY_TOKEN_ENDPOINT,
        AUD,
        lambda provider, _: ["--token-endpoint", provider.token_endpoint.replace("/token", "/TOKEN")],
    ),
    Fault(
        "a token endpoint with a query",
        "PS256-pem",
        Rule.DISCOVERY_TOKEN_ENDPOINT,
        AUD,
        lambda provider, _: ["--token-endpoint", f"{provider.token_endpoint}?tenant=1"],
    ),
)


@pytest.mark.parametrize("fault", HIDDEN, ids=_id)
def test_what_cannot_be_told_apart_is_a_group_with_the_truth_in_it(
    cli: Cli, provider: Provider, fault: Fault
) -> None:
    registration = provider.registrations[fault.registration]
    setup = _setup(provider, registration, *fault.options(provider, registration))
    seen = _doctor(cli, provider, *setup, *(_registered(registration) if fault.registered else []))
    assert fault.rule in seen.causes
    assert not set(seen.causes).intersection(seen.ruled_out)
    if fault.error_detail == AUD:
        assert Rule.AUD_MISMATCH not in seen.ruled_out
    if not seen.events:  # found at second sight, before anybody was asked
        assert seen.causes[0] == fault.rule
        seen.events.append(_ask(cli, provider, *setup))
    [event] = seen.events
    assert (event.error, event.error_detail) == ("invalid_client", fault.error_detail)
    assert seen.code == 4


def test_with_the_registered_key_another_key_is_less_likely(cli: Cli, provider: Provider) -> None:
    registration = provider.registrations["RS256-pem"]
    setup = _setup(provider, registration, "--alg", "PS256")
    with_key = _doctor(cli, provider, *setup, *_registered(registration))
    without = _doctor(cli, provider, *setup)
    bank = [Rule.CLIENT_UNKNOWN, Rule.REGISTRATION_AUTH_METHOD, Rule.REGISTRATION_ALG]
    bank.append(Rule.REGISTRATION_APPLICATION_TYPE)
    # That the bank has what is in the file is the user's word.
    assert with_key.causes == [*bank, Rule.REGISTRATION_KEY_MISMATCH]
    assert without.causes[:5] == [Rule.REGISTRATION_KEY_MISMATCH, *bank]
    assert Rule.REGISTRATION_KEY_MISMATCH not in [*with_key.ruled_out, *without.ruled_out]


def test_with_the_jwks_uri_another_key_is_ruled_out(cli: Cli, provider: Provider) -> None:
    registration = provider.registrations["PS256-jwks-uri"]
    setup = _setup(provider, registration, "--alg", "RS256", "--registered", str(registration.jwks_uri))
    seen = _doctor(cli, provider, *setup)
    assert Rule.REGISTRATION_KEY_MISMATCH not in seen.causes


def test_a_file_that_is_not_what_the_bank_has_rules_nothing_out(cli: Cli, provider: Provider, tmp_path: Path) -> None:
    registration = provider.registrations["PS256-pem"]
    mine = keys.generate("rsa")
    private = write_private(tmp_path / "mine.pem", mine.pem())
    public = tmp_path / "mine.pub"
    public.write_bytes(mine.public.pem())
    setup = _setup(provider, registration, "--private-key", private, "--registered", public)
    seen = _doctor(cli, provider, *setup)
    assert [event.error_detail for event in seen.events] == [SIGNATURE]
    assert Rule.REGISTRATION_KEY_MISMATCH in seen.causes
    assert not {Rule.REGISTRATION_KEY_MISMATCH, Rule.SIGNATURE_INVALID} & set(seen.ruled_out)


def test_what_only_the_bank_can_look_at_has_a_question_that_names_the_client(cli: Cli, provider: Provider) -> None:
    registration = provider.registrations["client-secret"]
    seen = _doctor(cli, provider, *_setup(provider, registration, *_registered(registration)))
    questions = [cause["question"] for cause in seen.said["diagnosis"]["causes"]]
    assert len(questions) == 5
    assert all(registration.client_id in question and "?" in question for question in questions)


def test_there_are_at_least_twenty_faults() -> None:
    assert len({(fault.name, fault.registration) for fault in (*FOUND, *HIDDEN)}) >= 20


# --- what the server says itself ---


def test_a_scope_that_was_not_granted_is_named(cli: Cli, provider: Provider) -> None:
    registration = provider.registrations["openid-only"]
    setup = _setup(provider, registration, "--scope", REFUSED_SCOPE, *_registered(registration))
    seen = _doctor(cli, provider, *setup)
    assert (seen.code, seen.causes) == (4, [Rule.SCOPE_NOT_ALLOWED])
    assert REFUSED_SCOPE in seen.said["diagnosis"]["causes"][0]["question"]
    assert [event.error for event in seen.events] == ["invalid_scope"]


def test_an_application_of_another_type_is_named(cli: Cli, provider: Provider) -> None:
    registration = provider.registrations["no-client-credentials"]
    seen = _doctor(cli, provider, *_setup(provider, registration, *_registered(registration)))
    assert (seen.code, seen.causes) == (4, [Rule.REGISTRATION_APPLICATION_TYPE])
    [event] = seen.events
    assert event.error_description == "requested grant type is not allowed for this client"


# --- the clock ---


def test_a_clock_that_is_behind_is_named_before_anybody_is_asked(cli: Cli, provider: Provider, how: How) -> None:
    registration = provider.registrations["PS256-pem"]
    setup = _setup(provider, registration)
    how.clock = lambda: time.time() - 120
    seen = _doctor(cli, provider, *setup, *_registered(registration))
    assert (seen.causes, seen.events) == ([Rule.CLOCK_SKEW], [])
    assert seen.code != 0
    assert _ask(cli, provider, *setup).error_detail == "jwt expired"


def test_a_clock_within_the_tolerance_is_a_warning_and_the_token_is_granted(
    cli: Cli, provider: Provider, how: How
) -> None:
    registration = provider.registrations["PS256-pem"]
    how.clock = lambda: time.time() - 12
    seen = _doctor(cli, provider, *_setup(provider, registration, *_registered(registration)))
    assert (seen.code, seen.with_verdict("fail"), seen.with_verdict("warn")) == (0, [], [Rule.CLOCK_SKEW])
    assert [event.event for event in seen.events] == ["grant.success"]


def test_a_clock_that_is_ahead_is_named_though_this_provider_takes_what_it_dates(
    cli: Cli, provider: Provider, how: How
) -> None:
    # The vendor documents five minutes at the most, which the provider does not look at.
    registration = provider.registrations["PS256-pem"]
    setup = _setup(provider, registration)
    how.clock = lambda: time.time() + 600
    seen = _doctor(cli, provider, *setup, *_registered(registration))
    assert (seen.causes, seen.events) == ([Rule.CLOCK_SKEW], [])
    assert _ask(cli, provider, *setup).event == "grant.success"


# --- one thing varied at a time ---


@pytest.fixture
def waited(pauses: list[float]) -> list[float]:
    """The pauses between requests, which nobody waits for."""
    return pauses


PROBED = (
    (Fault("alg", "RS256-pem", Rule.REGISTRATION_ALG, ALG, _always("--alg", "PS256")), 2),
    (Fault("alg", "PS256-pem", Rule.REGISTRATION_ALG, ALG, _always("--alg", "RS256")), 2),
    (Fault("kid", "ES256-pem", Rule.KID_UNEXPECTED, NO_KEY, _always("--kid", "my-key")), 2),
    (Fault("kid", "PS256-pem", Rule.KID_UNEXPECTED, NO_KEY, _always("--kid", "my-key")), 2),
    (Fault("kid", "RS256-pem", Rule.KID_UNEXPECTED, NO_KEY, _always("--kid", "my-key")), 2),
    (Fault("kid", "ES256-jwks-uri", Rule.KID_UNEXPECTED, NO_KEY, _always("--kid", "my-key")), 2),
)


@pytest.mark.parametrize(("fault", "requests"), PROBED, ids=lambda value: getattr(value, "registration", None))
def test_the_variation_that_is_accepted_names_the_culprit(
    cli: Cli, provider: Provider, waited: list[float], fault: Fault, requests: int
) -> None:
    registration = provider.registrations[fault.registration]
    setup = _setup(provider, registration, *fault.options(provider, registration))
    seen = _doctor(cli, provider, *setup, "--probe")
    assert seen.events[0].error_detail == fault.error_detail
    assert [event.event for event in seen.events] == ["grant.error"] * (requests - 1) + ["grant.success"]
    assert len(waited) == requests - 1
    assert min(waited) >= 5
    assert seen.causes[0] == fault.rule
    assert seen.with_verdict("fail")[-1] == fault.rule
    assert seen.code == 4


@pytest.mark.parametrize("name", ["client-secret", "PS256-pem", "PS256-jwks-uri", "ES256-pem"])
def test_where_no_variation_is_accepted_no_culprit_is_named_after_four_requests_at_most(
    cli: Cli, provider: Provider, waited: list[float], name: str
) -> None:
    registration = provider.registrations[name]
    options = [] if name == "client-secret" else ["--client-id", CLIENT_ID]
    seen = _doctor(cli, provider, *_setup(provider, registration, *options, "--probe"))
    assert 2 <= len(seen.events) <= 4
    assert {event.event for event in seen.events} == {"grant.error"}
    assert len(waited) == len(seen.events) - 1
    assert seen.causes[0] == Rule.REGISTRATION_KEY_MISMATCH
    assert seen.with_verdict("fail") == ["invalid_client"]


def test_a_setup_that_is_accepted_is_not_varied(cli: Cli, provider: Provider, waited: list[float]) -> None:
    seen = _doctor(cli, provider, *_setup(provider, provider.registrations["PS256-pem"], "--probe"))
    assert (seen.code, [event.event for event in seen.events], waited) == (0, ["grant.success"], [])


def test_nothing_is_asked_offline(cli: Cli, provider: Provider) -> None:
    registration = provider.registrations["RS256-pem"]
    setup = _setup(provider, registration, "--alg", "PS256", "--registered", registration.registered_path)
    seen = _doctor(cli, provider, *setup, "--offline")
    assert (seen.code, seen.events, seen.said["requests"]) == (0, [], [])
