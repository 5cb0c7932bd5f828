"""``banno-creds jwks``: the JWK Set that you publish at a JWKS URI: make, change and check it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from banno_creds.checks import check_url, is_url
from banno_creds.cli.groups import Group
from banno_creds.cli.inputs import (
    Argument,
    KeyArgument,
    StandardInput,
    can_ask,
    check_file_or_url,
    expand,
    passphrase,
)
from banno_creds.cli.options import network_options
from banno_creds.cli.parameters import Choice, Command, Declaration, F, complete_file, complete_key, option, spelling
from banno_creds.cli.report import Report, check_stdout, write_result
from banno_creds.cli.settings import run_for
from banno_creds.config import ALGORITHMS, DEFAULT_TIMEOUT, KeySource
from banno_creds.errors import ConfigurationError, KeyLoadError, NetworkError, RefusedError
from banno_creds.key_uri import is_key_uri
from banno_creds.shells import join
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from banno_creds.errors import BannoCredsError
    from banno_creds.jose.key_set import KeySet
    from banno_creds.jose.keys import PublicKey
    from banno_creds.rules.findings import Finding
    from banno_creds.rules.key_set import JudgedSet
    from banno_creds.steps import Run

_VERSION = 1
_DASHED = re.compile("-[A-Za-z0-9_-]{42}")  # a SHA-256 in base64url
_MOST_NAMED = 5
_ANY_KEY = (
    "A key in any form: a private key, a PEM, a certificate, a JWK or a JWK Set in a file, - for standard input; or "
    "the URI of a key that its holder keeps (pkcs11:, awskms:, vault:, ssh-agent:). Only its public half is used."
)
_SET = "The file with the set."


class _Key(NamedTuple):
    """The public half of a key, and the one algorithm that it is for, if there is only one."""

    place: str
    public: PublicKey
    alg: str | None


_ALG = option(
    "--alg",
    command="jwks",
    type=Choice(ALGORITHMS),
    section="Key",
    help="Say in the set that the keys are for this algorithm alone: give the one that you sign with. Without it, an "
    "RSA key may be used with PS256 and RS256.",
)
_PASSPHRASE = option(
    "--passphrase-file",
    command="jwks",
    metavar="FILE",
    section="Key",
    shell_complete=complete_file,
    help="A file with the passphrase of the keys that are encrypted, or the token's PIN; - for standard input. "
    "Without it, you are asked at a terminal.",
)
_ALLOW_WRITABLE = option(
    "--allow-writable-key",
    "allow_writable",
    command="jwks",
    is_flag=True,
    section="Key",
    help="Accept the file of a private key that others can write.",
)
_QUIET = option("--quiet", "-q", is_flag=True, section="Output", help="Do not show what to do next.")


def _keys_argument(
    name: str = "keys", says: str = _ANY_KEY, metavar: str = "KEY...", **attributes: Any
) -> Declaration:
    attributes = {"nargs": -1, "required": True, "shell_complete": complete_key, **attributes}

    def declare(function: F, _: object = None, /) -> F:
        return click.argument(name, cls=KeyArgument, says=says, metavar=metavar, **attributes)(function)

    return declare


_FILE = click.argument("file", cls=Argument, says=_SET, metavar="FILE", shell_complete=complete_file)


@click.group("jwks", cls=Group)
def command() -> None:
    """Make, change and check the JWK Set at your JWKS URI.

    The bank's provider fetches your public keys from there, so that you can change a key without the bank.
    """


@command.command("build", cls=Command, short_help="Print a set of the public halves of keys.")
@_keys_argument()
@_ALG
@_PASSPHRASE
@_ALLOW_WRITABLE
@click.pass_context
def build(context: click.Context, /, keys: tuple[str, ...], **values: Any) -> None:
    """Print a JWK Set of the public halves of keys, ready to be published.

    Each has its RFC 7638 thumbprint for a kid, and is for signatures (use sig). Nothing private is in it.
    """
    from banno_creds.jose.key_set import KeySet

    check_stdout()
    key_set = KeySet()
    for key in _read_keys(context, keys, values):
        key_set = key_set.add(key.public, key.alg)
    write_result(key_set.text().removesuffix("\n"))


@command.command("add", cls=Command, short_help="Add the public halves of keys to a set in a file.")
@_FILE
@_keys_argument()
@_ALG
@_PASSPHRASE
@_ALLOW_WRITABLE
@_QUIET
@click.pass_context
def add(context: click.Context, /, file: str, keys: tuple[str, ...], **values: Any) -> None:
    """Add the public halves of keys at the end of the set in FILE.

    A key that is there already is not added again. The file is written whole or not at all; order, foreign members,
    indentation, mode and owner stay as they are.
    """
    _check_file(file)
    found = _read_keys(context, keys, values)
    said: list[str] = []

    def change(key_set: KeySet) -> KeySet:
        for key in found:
            there = key_set.find(key.public)
            kid = key.public.thumbprint() if there is None else there.get("kid")
            named = "without a kid" if kid is None else f"kid {printable(kid, 80)}"
            said.append(f"{'added' if there is None else 'there already'}: {key.place}, {named}")
            key_set = key_set.add(key.public, key.alg)
        return key_set

    _change(file, change)
    write_result("\n".join(said))
    _say_what_is_next([place for place in keys if place != "-"], values)


class _Remove(Command):
    """Takes a thumbprint for one though it begins with a dash, as one in 64 does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with such thumbprints after everything else."""
        dashed = [each for each in args if _DASHED.fullmatch(each)]
        if dashed and "--" not in args:
            args = [*(each for each in args if each not in dashed), "--", *dashed]
        return super().parse_args(ctx, args)


@command.command("remove", cls=_Remove, short_help="Remove keys from a set in a file.")
@_FILE
@_keys_argument("which", "A key's kid or thumbprint; or the key itself, in any form.", "KEY|KID...")
@option(
    "--allow-empty",
    command="jwks-remove",
    is_flag=True,
    section="Key",
    help="Remove the last key, too: then no assertion can be verified any more.",
)
@_PASSPHRASE
@_ALLOW_WRITABLE
@_QUIET
@click.pass_context
def remove(context: click.Context, /, *, file: str, which: tuple[str, ...], allow_empty: bool, **values: Any) -> None:
    """Remove keys from the set in FILE, by their kid or by the keys themselves.

    The file is written whole or not at all. A key is accepted until no cache keeps the set that had it.
    """
    _check_file(file)
    as_keys = {each: _read_keys(context, (each,), values) for each in which if _is_key(each)}
    said: list[str] = []
    gone: list[_Key] = []

    def change(key_set: KeySet) -> KeySet:
        for each in which:
            before = key_set
            if any(jwk.get("kid") == each for jwk in key_set.keys) or each not in as_keys:
                key_set = key_set.remove(each)
            else:
                for key in as_keys[each]:
                    key_set = key_set.remove(key.public)
            if key_set is before:
                raise _not_there(key_set, each)
            said.append(f"removed: {printable(each, 200)}")
            gone.extend(_gone(before, key_set, each))
        if not key_set.keys and not allow_empty:
            raise ConfigurationError(
                f"{file} would have no key left; nothing was changed",
                hint="add the new key first: banno-creds jwks add FILE KEY; or say --allow-empty",
            )
        return key_set

    _change(file, change)
    write_result("\n".join(said))
    _warn_of_users(file, gone)
    _say_what_is_next((), values)


def _gone(before: KeySet, after: KeySet, place: str) -> Iterator[_Key]:
    """Yield the keys that were removed; what makes no key is nobody's."""
    from banno_creds.jose.jwks import public_key_of
    from banno_creds.jose.keys import accepted

    for jwk in before.keys:
        if jwk not in after.keys and (native := public_key_of(jwk)) is not None:
            with suppress(KeyLoadError):
                yield _Key(place, accepted(native, place), None)


def _warn_of_users(file: str, gone: Sequence[_Key]) -> None:
    """Name the profiles that sign with what was removed."""
    from banno_creds.client_authentication.key_facts import Users
    from banno_creds.profiles.lookup import list_profiles

    with suppress(ConfigurationError):
        users = Users(list_profiles().profiles)
        names = [*dict.fromkeys(name for key in gone for name in users.of_public(key.public, key.place))]
        if names:
            places = [*dict.fromkeys(key.place for key in gone if _is_key(key.place) and key.place != "-")] or ["KEY"]
            more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
            which = f"profile {names[0]} signs" if len(names) == 1 else f"{', '.join(names[:_MOST_NAMED])}{more} sign"
            Report().warning(
                f"{which} with a key that was removed, and will be refused once this set is published",
                f"put it back until another key is used: banno-creds jwks add {join([file, *places])}",
            )


@command.command("check", cls=Command, short_help="Say what a provider will trip over in a set.")
@click.argument(
    "place",
    cls=Argument,
    says="The file with the set, - for standard input; or the URL that it is published at.",
    metavar="FILE|URL",
    shell_complete=complete_file,
)
@_keys_argument(says=f"A key that has to be in the set. {_ANY_KEY}", metavar="[KEY...]", required=False)
@_PASSPHRASE
@_ALLOW_WRITABLE
@network_options
@option(
    "--output",
    "-o",
    command="jwks",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    section="Output",
    help="Lines for people, or JSON with a finding for each rule.",
)
@click.pass_context
def check(context: click.Context, /, place: str, keys: tuple[str, ...], output: str, **values: Any) -> None:
    """Say what a provider will trip over in the set in FILE or at URL, and whether each KEY is in it.

    A URL is fetched once: its TLS, media type and caching are looked at as well.

    The exit code is 0 if nothing is wrong (warnings are allowed); 3 if a private key is in the set, which is then
    leaked; 4 if a provider would refuse it, or a KEY is missing; 5 if it cannot be fetched.
    """
    from banno_creds.doctor.findings import spelled
    from banno_creds.rules.findings import Part
    from banno_creds.rules.jwks_uri import Fetched, fetch
    from banno_creds.rules.key_set import JudgedSet, judge_key_set, judge_presence

    report = Report(quiet=True)
    stdin = StandardInput()
    run = run_for(context, report)
    if place != "-" and is_url(check_file_or_url(place)):
        check_url(place, "the JWK Set's URL")
    found = _read_keys(context, keys, values, stdin)
    fetched = _fetch(place, values, run, fetch) if is_url(place) else Fetched(_read(place, stdin), ())
    judged = JudgedSet(place, (), ()) if fetched.content is None else judge_key_set(fetched.content, place)
    mine = [
        finding
        for number, key in enumerate(found if fetched.content is not None else (), 1)
        for finding in judge_presence(
            judged, key.public, key.place, "your key" if len(found) == 1 else f"key {number} of yours"
        )
    ]
    spell = spelling(context)
    parts = [
        Part(title, tuple(spelled(finding, spell) for finding in findings))
        for title, findings in (("Address", fetched.findings), ("Key set", judged.findings), ("Your keys", mine))
        if findings
    ]
    failed = [finding for part in parts for finding in part.findings if finding.verdict == "fail"]
    failure = _failure(place, failed, judged) if failed else None
    if output == "json":
        write_result(dumps(_everything(parts, judged, failure)))
    else:
        for part in parts:
            report.part(part)
    if failure is not None:
        raise failure


def _fetch(place: str, values: Mapping[str, Any], run: Run, fetch: Callable[..., Any]) -> Any:
    from banno_creds.http.client import HttpClient

    ca_bundle = None if values["ca_bundle"] is None else expand(values["ca_bundle"])
    with HttpClient(values["timeout"], ca_bundle) as http:
        return fetch(place, http, run.clock())


def _read(place: str, stdin: StandardInput) -> bytes:
    from banno_creds.storage.secret_files import read_file

    return stdin.read("the JWK Set") if place == "-" else read_file(expand(place))


def _failure(place: str, failed: Sequence[Finding], judged: JudgedSet) -> BannoCredsError:
    """Return the error for what was found: a leak before all else, then the first fault."""
    if judged.leaks:
        return KeyLoadError(
            f"{place} has a private or symmetric key in it: THIS KEY IS LEAKED if others could fetch the set",
            hint="make a new key, publish it, sign with it, and then take the leaked one out; to take it out is not "
            "enough",
            rule="registration.private_key",
        )
    from banno_creds.rules.findings import Rule

    first = failed[0]
    others = "" if len(failed) == 1 else f", the first of {len(failed)} faults"
    hint = f"{first.fix}; more: banno-creds explain {first.rule}"
    if first.rule.startswith(("network.", "registration.unreachable")):
        return NetworkError(f"the set cannot be fetched: {first.rule}{others}", hint=hint)
    is_of_a_key = first.rule == Rule.REGISTRATION_KEY_MISMATCH
    what = "a key is not in the set" if is_of_a_key else "a provider would trip over this set"
    return RefusedError(f"{what}: {first.rule}{others}", error=None, status=0, hint=hint)


def _everything(parts: Sequence[Any], judged: JudgedSet, failure: BannoCredsError | None) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "verdict": "pass" if failure is None else "fail",
        "exit_code": 0 if failure is None else failure.exit_code,
        "keys": [
            {
                "kid": key.kid,
                "type": key.description,
                "thumbprint": key.thumbprint,
                "usable": key.usable,
            }
            for key in judged.keys
        ],
        "findings": [finding._asdict() for part in parts for finding in part.findings],
    }


# --- Keys and files -------------------------------------------------------------------------------------------------


def _is_key(word: str) -> bool:
    return word == "-" or is_key_uri(word) or os.path.exists(expand(word))  # noqa: PTH110 - unlike Path's, it never raises


def _read_keys(
    context: click.Context, places: Sequence[str], values: Mapping[str, Any], stdin: StandardInput | None = None
) -> list[_Key]:
    """Return the public halves of the keys that were named, each once."""
    stdin = stdin or context.meta.setdefault(__name__, StandardInput())
    asked: Callable[[], bytes | None] | None = None
    found: dict[str, _Key] = {}
    for place in places:
        ask = passphrase(values["passphrase_file"], stdin, pin=place.lower().startswith("pkcs11:"))
        if values["passphrase_file"] is not None:
            ask = asked = asked or ask  # standard input is read once
        elif len(places) > 1:
            ask = _naming(place, ask)
        for key in _keys_at(place, stdin, ask, values):
            alg = values.get("alg")
            if alg is not None and not _fits(alg, key):
                raise ConfigurationError(
                    f"{alg} does not fit {key.place}, {key.public.description}",
                    hint="leave --alg out, or add this key by itself: banno-creds jwks add FILE KEY",
                )
            found.setdefault(key.public.thumbprint(), key._replace(alg=alg or key.alg))
    return list(found.values())


def _naming(place: str, ask: Callable[[], bytes | None]) -> Callable[[], bytes | None]:
    """Say for which of several keys somebody is asked."""

    def ask_for_it() -> bytes | None:
        if can_ask():
            Report().note(f"{printable(place, 200)}:")
        return ask()

    return ask_for_it


def _fits(alg: str, key: _Key) -> bool:
    from banno_creds.client_authentication.signer import ALGORITHMS as FITTING

    return alg in (FITTING[key.public.type] if key.alg is None else (key.alg,))


def _keys_at(
    place: str, stdin: StandardInput, ask: Callable[[], bytes | None], values: Mapping[str, Any]
) -> Iterator[_Key]:
    """Yield the public halves of the keys in a file, in standard input, or at a holder."""
    from banno_creds.client_authentication.private_key import load_key
    from banno_creds.secrecy import is_private_key_file
    from banno_creds.storage.secret_files import read_file

    if is_key_uri(place):
        held = load_key(KeySource.at(place), ask, timeout=values.get("timeout", DEFAULT_TIMEOUT))
        yield _Key(place, held.public, _only(held.algorithms or (), held.type))
        return
    if place == "-":
        content = stdin.read("the key")
        source = KeySource("standard input", content=content)
    else:
        content = read_file(expand(place), error=KeyLoadError)
        source = KeySource(place, path=expand(place), allow_writable=values["allow_writable"])
    if not _is_set(content) and is_private_key_file(content):
        # Somebody who can write it could have put a key of their own there, and the bank would get its public half.
        private = load_key(source, ask)
        alg = getattr(private, "jwk_alg", None)
        algorithms = (alg,) if alg in ALGORITHMS else private.algorithms or ()
        yield _Key(source.origin, private.public, _only(algorithms, private.type))
        return
    yield from _public_keys(content, source.origin)


def _is_set(content: bytes) -> bool:
    return b'"keys"' in content


def _public_keys(content: bytes, origin: str) -> Iterator[_Key]:
    from banno_creds.jose.jwks import public_key_of
    from banno_creds.jose.keys import accepted
    from banno_creds.jose.public_keys import NoPublicKeyError, read_public_keys

    try:
        read = read_public_keys(content)
    except NoPublicKeyError as failure:
        words = str(failure) or "holds no key that can be read"
        raise KeyLoadError(
            f"{origin} {words}", hint=failure.hint or "give a key, a certificate or a JWK Set"
        ) from None
    if read.jwks is None:
        for each in read.found:
            if each.native is not None:
                key = accepted(each.native, origin)
                yield _Key(origin, key, _only(each.algorithms or (), key.type))
        return
    jwks = read.jwks["keys"]
    for jwk in jwks if isinstance(jwks, list) else ():
        native = public_key_of(jwk) if isinstance(jwk, dict) else None
        if native is None:
            raise KeyLoadError(
                f"{origin} has a JWK whose members make no key", hint="look at it with: banno-creds jwks check FILE"
            )
        key = accepted(native, origin)
        yield _Key(origin, key, _only((str(jwk.get("alg")),), key.type))


def _only(algorithms: Sequence[str], kind: str) -> str | None:
    """Return the algorithm that a key is for, if the provider has only one that fits it."""
    from banno_creds.client_authentication.signer import ALGORITHMS as FITTING

    fitting = FITTING[kind]
    allowed = [alg for alg in fitting if alg in algorithms] or list(fitting)
    return allowed[0] if len(allowed) == 1 else None


def _check_file(file: str) -> None:
    """Refuse what cannot be the file of a set, before anybody is asked for a passphrase."""
    if file == "-" or is_url(file):
        raise ConfigurationError(
            "a set is changed in its file, and this is none", hint="name the file that you publish, such as jwks.json"
        )
    if not os.path.exists(expand(file)):  # noqa: PTH110 - as above
        raise ConfigurationError(
            f"no such file: {printable(file)}", hint=f"make it: banno-creds jwks build KEY > {join([file])}"
        )


def _change(file: str, change: Callable[[KeySet], KeySet]) -> None:
    from banno_creds.jose.key_set import read_key_set
    from banno_creds.storage.edited import change_file

    def change_content(content: bytes) -> bytes:
        key_set = read_key_set(content, file)
        changed = change(key_set)
        return content if changed is key_set else changed.text().encode()

    change_file(str(expand(file)), change_content)


def _not_there(key_set: KeySet, which: str) -> ConfigurationError:
    kids = [printable(jwk["kid"], 80) for jwk in key_set.keys if isinstance(jwk.get("kid"), str)]
    return ConfigurationError(
        f"{key_set.origin} has no key {printable(which, 200)}; nothing was changed",
        hint=f"its keys are: {', '.join(kids[:8])}" if kids else "it has no key with a kid: name the key by its file",
    )


def _say_what_is_next(keys: Sequence[str], values: Mapping[str, Any]) -> None:
    if values["quiet"]:
        return
    report = Report()
    report.note("Next, publish the file, and look at what a provider gets:")
    report.verbatim(f"banno-creds jwks check URL {join([*dict.fromkeys(keys)])}".rstrip())
