"""``banno-creds key``: which key is it, who uses it, and does the bank have it."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Any

import click

from banno_creds.checks import check_duration, check_url, is_url
from banno_creds.cli.groups import Group
from banno_creds.cli.inputs import KeyArgument, StandardInput, check_file_or_url, expand, passphrase
from banno_creds.cli.options import CONFIG, KEY_MAX_AGE, PASSPHRASE_FILE, network_options
from banno_creds.cli.parameters import Choice, Command, Declaration, F, complete_file, complete_key, option
from banno_creds.cli.report import Report, as_option, write_result
from banno_creds.cli.settings import noted_rotations, run_for
from banno_creds.errors import BannoCredsError, ConfigurationError, KeyLoadError, PassphraseError
from banno_creds.key_uri import is_key_uri
from banno_creds.text import printable, spelled
from banno_creds.times import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from banno_creds.client_authentication.key_facts import KeyFacts, Users
    from banno_creds.profiles.lookup import Listing
    from banno_creds.rules.findings import Finding
    from banno_creds.rules.registration import Registration
    from banno_creds.steps import Run

_VERSION = 1  # of the JSON
_STDIN = "-"


def _keys(metavar: str, says: str) -> Callable[[F], F]:
    return click.argument(
        "places",
        cls=KeyArgument,
        nargs=-1,
        required=True,
        metavar=metavar,
        shell_complete=complete_key,
        says=says,
    )


def _output(name: str, forms: list[str], says: str) -> Declaration:
    return option(
        "--output",
        "-o",
        command=name,
        type=Choice(forms),
        default="text",
        show_default=True,
        section="Output",
        help=says,
    )


_MOST_NAMED = 20


@click.group("key", cls=Group)
def command() -> None:
    """Tell which key it is, who uses it, and whether the bank has it.

    Any key will do, private or public: PEM, DER, JWK, JWK Set, certificate, or one that its holder keeps. Nothing
    private is shown, and nothing is written.
    """


@command.command("show", cls=Command, short_help="Show what is known of keys, and how openssl tells it.")
@_keys(
    "FILE|URI|URL...",
    "Keys, certificates or JWK Sets: files, - for standard input; URIs of keys that their holder keeps (pkcs11:, "
    "awskms:, vault:, ssh-agent:); URLs of JWK Sets.",
)
@option(
    "--only",
    command="key-show",
    metavar="ID",
    section="Output",
    help="Of a file or set with several keys, show the one with this kid, thumbprint or fingerprint.",
)
@PASSPHRASE_FILE
@KEY_MAX_AGE
@CONFIG
@network_options
@_output(
    "key-show",
    ["text", "json", "pem"],
    "Columns for people; one JSON object; or the public halves as PEM, for other programs.",
)
@click.pass_context
def show(context: click.Context, /, places: tuple[str, ...], only: str | None, output: str, **values: Any) -> None:
    """Show keys: type and size, fingerprints, age, who can read the file, which profiles use it; never a secret.

    `fingerprint` is as everywhere in banno-creds; `sha256` is the same in hexadecimal, as openssl prints it by the
    line under `compare`. An encrypted key is opened with --passphrase-file, or you are asked at a terminal; without,
    only what needs no passphrase is shown, and the exit code is 3.

    All keys are shown; those that cannot be read are reported, and the exit code is the highest of theirs.
    """
    if values["key_max_age"] is not None:
        check_duration("key_max_age", values["key_max_age"])
    look = _Look(context, values)
    shown = [
        _Shown(facts, look.judge(facts), look.run.clock(), values["passphrase_file"])
        for place in places
        for facts in look.at(place)
        if only is None or only in (facts.key.kid, facts.key.thumbprint(), facts.key.fingerprint())
    ]
    if only is not None and not shown and not look.failures:
        look.fail(", ".join(places), _no_such_key(only))
    if output == "pem":
        pem = "".join(each.facts.key.pem() for each in shown if each.facts.key.native is not None)
        if pem:
            write_result(pem.removesuffix("\n"))
    elif output == "json":
        keys = [each.members() for each in shown]
        write_result(dumps({"version": _VERSION, "keys": keys, "failed": look.failures}))
    else:
        for each in shown:
            each.tell(look.report)
    look.end()


@command.command("match", cls=Command, short_help="Compare keys with those that the bank has.")
@_keys("KEY...", "Keys as `key show` takes them: private or public, files, URIs or URLs.")
@option(
    "--registered",
    command="key-match",
    metavar="FILE|URL",
    required=True,
    section="Input",
    shell_complete=complete_file,
    help="What the bank has: the PEM pasted into Users & Groups, or the JWK Set at the JWKS URI.",
)
@PASSPHRASE_FILE
@CONFIG
@network_options
@_output("key-match", ["text", "json"], "Columns for people, or one JSON object.")
@click.pass_context
def match(context: click.Context, /, places: tuple[str, ...], registered: str, output: str, **values: Any) -> None:
    """Say which of these keys the bank has, and which of the bank's keys none of them is.

    The exit code is 0 if the bank has every key, 3 if it lacks one or a key cannot be read, 5 if the URL cannot be
    fetched.
    """
    from banno_creds.client_authentication.key_facts import facts_of
    from banno_creds.rules.lint import read_registered
    from banno_creds.rules.registration import read_registration
    from banno_creds.storage.secret_files import look_at_file

    if is_url(check_file_or_url(registered)):
        check_url(registered, "the registered JWK Set's URL")
    look = _Look(context, {**values, "key_max_age": None})
    if is_url(registered):
        file, content = None, read_registered(registered, values["timeout"], look.ca_bundle, look.run)
    else:
        file = look_at_file(expand(registered))
        content = file.content
    registration = read_registration(content, registered)
    if not registration.fingerprints:
        raise _none_registered(registration)
    bank = [
        facts._replace(profiles=look.users.of(facts))
        for facts in facts_of(content, registered, lambda: None, file)
        if facts.key.fingerprint() in registration.fingerprints
    ]
    mine = [facts for each in places for facts in look.at(each)]
    compared = _Compared(registered, registration, bank, mine)
    if output == "json":
        write_result(dumps({"version": _VERSION, **compared.members(), "failed": look.failures}))
    else:
        compared.tell(look.report)
    look.end(KeyLoadError.exit_code if compared.missing else 0)


def _no_such_key(only: str) -> KeyLoadError:
    return KeyLoadError(
        f"no key there has the kid, thumbprint or fingerprint {printable(only, 200)}",
        hint="look at them all: leave --only out",
    )


def _none_registered(registration: Registration) -> BannoCredsError:
    fault = next((finding for finding in registration.findings if finding.verdict == "fail"), None)
    if fault is None:
        return ConfigurationError(
            f"{registration.origin} holds no key that the bank could use",
            hint="give the PEM that was pasted into Users & Groups, or the JWKS URI",
        )
    origin = "" if fault.received.startswith(registration.origin) else f"{registration.origin}: "
    return ConfigurationError(origin + fault.received, hint=fault.fix, rule=fault.rule)


class _Look:
    """Looks at one place after the other; what cannot be read is reported, and stops nothing."""

    def __init__(self, context: click.Context, values: Mapping[str, Any]) -> None:
        self.report = Report(quiet=True)
        self.failures: list[dict[str, Any]] = []
        self.ca_bundle = None if values["ca_bundle"] is None else expand(values["ca_bundle"])
        self.run: Run = run_for(context, self.report)
        self._context = context
        self._values = values
        self._stdin = StandardInput()
        self._code = 0
        self._wrong_pin = False
        self._ask = passphrase(values["passphrase_file"], self._stdin)
        self._listing = self._profiles()
        self._noted = noted_rotations(self._listing.file)

    def _profiles(self) -> Listing:
        from banno_creds.profiles.lookup import Listing, list_profiles

        try:
            return list_profiles(self._values["config"])
        except ConfigurationError as failure:
            if self._values["config"] is not None:
                raise
            self.report.warning(f"which profiles use a key is not known: {failure.message}", failure.hint)
            return Listing(None, (), None)

    @property
    def users(self) -> Users:
        """The profiles, asked which of them use a key."""
        from banno_creds.client_authentication.key_facts import Users

        self._users = getattr(self, "_users", None) or Users(self._listing.profiles)
        return self._users

    def at(self, place: str) -> Iterator[KeyFacts]:
        """Yield what is known of each key in a place; a fault is reported."""
        from banno_creds.client_authentication.key_age import Since

        try:
            for facts in self._facts(place):
                if facts.key.fault is not None:
                    self.fail(place, facts.key.fault)
                noted = self._noted.get(facts.key.thumbprint() or "")
                since = facts.since if noted is None else Since(noted, "rotation").or_since(facts.since)
                yield facts._replace(profiles=self.users.of(facts), since=since)
        except BannoCredsError as failure:
            self.fail(place, failure)

    def _facts(self, place: str) -> list[KeyFacts]:
        from banno_creds.client_authentication import key_facts
        from banno_creds.rules.lint import read_registered

        if place == _STDIN:
            return key_facts.facts_of(self._stdin.read("the key"), place, self._passphrase("standard input"))
        if is_key_uri(place):
            return self._held(place)
        if is_url(place):
            check_url(place, "the JWK Set's URL")
            content = read_registered(place, self._values["timeout"], self.ca_bundle, self.run)
            return key_facts.facts_of(content, place, lambda: None)
        return key_facts.facts_of_file(place, expand(place), self._passphrase(place))

    def _held(self, uri: str) -> list[KeyFacts]:
        from banno_creds.client_authentication.key_facts import facts_of_held_key

        is_token = uri.lower().startswith("pkcs11:")
        if is_token and self._wrong_pin:
            raise KeyLoadError(
                f"{uri} was not tried: a PIN has just been wrong or missing, and tokens lock after a few wrong ones",
                hint="give the right PIN, and show this key alone",
            )
        ask = passphrase(self._values["passphrase_file"], self._stdin, pin=is_token)
        try:
            return facts_of_held_key(uri, ask if is_token else self._ask, self.run, self._values["timeout"])
        except PassphraseError:
            self._wrong_pin = is_token
            raise

    def _passphrase(self, whose: str) -> Any:
        """Return what gets a passphrase: the file's is for all keys, at a terminal each is asked for."""
        if self._values["passphrase_file"] is not None:
            return self._ask
        return passphrase(None, self._stdin, whose=printable(whose, 60))

    def judge(self, facts: KeyFacts) -> Finding:
        """Judge a key's age by the lowest of the limits that were set for it."""
        from banno_creds.rules.key_age import judge_age

        own = self._values["key_max_age"]
        limits = [profile.key_max_age for profile in self._listing.profiles if profile.name in facts.profiles]
        known = [limit for limit in (*limits, own) if limit is not None]
        limit = min(known, key=lambda limit: check_duration("key_max_age", limit), default=None)
        return judge_age(facts.since, self.run.clock(), limit)

    def fail(self, place: str, failure: BannoCredsError) -> None:
        """Report a fault, and remember it for the end."""
        self.report.error(failure)
        words = failure.words(as_option)
        self.failures.append(
            {"place": place, "message": words.message, "hint": words.hint, "exit_code": failure.exit_code}
        )
        self._code = max(self._code, failure.exit_code)

    def end(self, code: int = 0) -> None:
        """Exit by the highest code."""
        self._context.exit(max(self._code, code))


class _Shown:
    """A key on its way to the screen, or to JSON."""

    def __init__(self, facts: KeyFacts, age: Finding, now: float, passphrase_file: str | None) -> None:
        self.facts = facts
        self.age = age
        self._now = now
        self._compare = facts.compare(passphrase_file if passphrase_file != _STDIN else None)

    def tell(self, report: Report) -> None:
        """Show it in columns."""
        from banno_creds.jose.any_key import KINDS
        from banno_creds.rules.findings import Part

        facts, key = self.facts, self.facts.key
        report.part(Part(_title(facts)))
        words, form = KINDS[key.kind], "" if "jwk" in key.kind else f", {key.form}"
        report.fact("is", f"{words}{form}")
        if key.description:
            taken = "" if key.native is None or key.public else ", a type or size that the provider does not take"
            report.fact("type", key.description + taken)
        for name, value in _ids(facts):
            report.fact(name, value, copied=True)
        if key.kid is not None:
            report.fact("kid", key.kid)
        if key.certificate is not None:
            report.fact("subject", key.certificate.subject or "(empty)")
            report.fact("valid", f"{utc(key.certificate.not_before)} to {utc(key.certificate.not_after)}")
        report.fact("used by", _users(facts.profiles) or "no profile")
        if facts.file is not None and facts.file.rights is not None:
            of = f", of {facts.file.owner}" if facts.file.owner else ""
            report.fact("file", f"{facts.file.rights}{of}")
        if key.fault is not None:
            report.fact("fault", spelled(key.fault.marked.message))
        if said := self.age.received or self.age.reason:
            report.fact("age", spelled(said))
        if self._compare is not None:
            report.fact("compare", self._compare, copied=True)
        for finding in self._warnings():
            report.warning(*finding)

    def _warnings(self) -> Iterator[tuple[str, str]]:
        facts = self.facts
        name = printable(facts.place, 200)
        if self.age.verdict == "warn":
            yield f"{name} is older than {self.age.expected.replace(' at the most', '')}", self.age.fix
        yield from facts.exits
        if facts.key.kind == "private-jwk" and (facts.number is not None or is_url(facts.place)):
            yield (
                f"{name} is a JWK Set with a private key in it (not shown): whoever reads it can act as its client",
                "take it out, treat the key as leaked, and have the bank register a new one",
            )
        if facts.file is not None and facts.key.kind in ("private-key", "private-jwk"):
            others = facts.file.others
            if others.writers or others.readers:
                verb, by = ("write", others.writers) if others.writers else ("read", others.readers)
                yield f"others can {verb} {name} ({by})", others.close
            yield from others.warnings

    def members(self) -> dict[str, Any]:
        """Return its members in JSON."""
        facts, key = self.facts, self.facts.key
        certificate = None if key.certificate is None else key.certificate._asdict()
        file = facts.file
        since = facts.since
        age = None if since is None else since.age(self._now)
        return {
            **_identity(facts),
            "kind": key.kind,
            "form": key.form,
            "type": key.type,
            "size": key.size,
            "certificate": certificate,
            "profiles": list(facts.profiles),
            "file": None
            if file is None or file.modified is None
            else {"rights": file.rights, "owner": file.owner or None, "modified": int(file.modified)},
            "there_since": None if since is None else int(since.at),
            "there_since_by": None if since is None else since.source,
            "age_days": None if age is None else int(age // 86400),
            "too_old": self.age.verdict == "warn",
            "compare": self._compare,
            "may_leave": [message for message, _ in facts.exits],
            "fault": None if key.fault is None else key.fault.message,
        }


class _Compared:
    """The keys here beside those that the bank has."""

    def __init__(
        self, registered: str, registration: Registration, bank: list[KeyFacts], mine: list[KeyFacts]
    ) -> None:
        self._registered = registered
        self._registration = registration
        self._mine = mine
        prints = {facts.key.fingerprint() for facts in mine}
        once = {facts.key.fingerprint(): facts for facts in bank}  # a set may have one key many times
        self._others = [facts for fingerprint, facts in once.items() if fingerprint not in prints]
        self.missing = [facts for facts in mine if facts.key.native is not None and not self._is_registered(facts)]

    def _is_registered(self, facts: KeyFacts) -> bool:
        return facts.key.fingerprint() in self._registration.fingerprints

    def tell(self, report: Report) -> None:
        """Show it in columns."""
        from banno_creds.rules.findings import Part

        report.part(Part(f"Registered: {self._registered}", self._faults()))
        for facts in self._mine:
            if facts.key.native is None:
                continue
            words = "registered" if self._is_registered(facts) else "NOT registered"
            report.part(Part(_title(facts)))
            report.fact("bank", f"{words}, {facts.key.description}")
            self._ids(report, facts)
        for facts in self._others:
            report.part(Part(f"{self._title(facts)}: none of these keys"))
            report.fact("used by", _users(facts.profiles) or "no profile here")
            self._ids(report, facts)

    def _title(self, facts: KeyFacts) -> str:
        return f"Registered, {self._registration.fingerprints[facts.key.fingerprint() or '']}"

    def _ids(self, report: Report, facts: KeyFacts) -> None:
        for name, value in _ids(facts):
            report.fact(name, value, copied=True)
        if (line := facts.compare()) is not None:
            report.fact("compare", line, copied=True)

    def _faults(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self._registration.findings if finding.verdict in ("fail", "warn"))

    def members(self) -> dict[str, Any]:
        """Return its members in JSON."""
        return {
            "registered": self._registered,
            "all": not self.missing,
            "keys": [
                {**_identity(facts), "is_registered": self._is_registered(facts), "compare": facts.compare()}
                for facts in self._mine
            ],
            "others": [
                {**_identity(facts), "profiles": list(facts.profiles), "compare": facts.compare()}
                for facts in self._others
            ],
            "findings": [finding._asdict() for finding in self._faults()],
        }


def _title(facts: KeyFacts) -> str:
    place = "standard input" if facts.place == _STDIN else facts.place
    return printable(place, 300) + ("" if facts.number is None else f", key {facts.number}")


def _ids(facts: KeyFacts) -> Iterator[tuple[str, str]]:
    """Yield what names a key, wherever it is."""
    key = facts.key
    ids = {"fingerprint": key.fingerprint(), "sha256": key.sha256(), "thumbprint": key.thumbprint()}
    yield from ((name, value) for name, value in ids.items() if value is not None)


def _identity(facts: KeyFacts) -> dict[str, Any]:
    key = facts.key
    return {
        "place": facts.place,
        "number": facts.number,
        "description": key.description or None,
        "fingerprint": key.fingerprint(),
        "sha256": key.sha256(),
        "thumbprint": key.thumbprint(),
        "kid": key.kid,
    }


def _users(profiles: tuple[str, ...] | list[str]) -> str:
    """Name the profiles that use a key; of very many the first ones, JSON has all."""
    more = len(profiles) - _MOST_NAMED
    names = ", ".join(profiles[:_MOST_NAMED]) + (f" and {more} more (-o json has all)" if more > 0 else "")
    return f"profile {names}" if names else ""
