"""Keys in the transit engine of Vault or OpenBao: ``vault:MOUNT/KEY``, or ``vault:MOUNT/KEY?version=N``.

Without a version, a key signs with the version that was the latest when it was opened: somebody may rotate it before
it signs, and the signature has to fit the public half that was shown.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from banno_creds.checks import check_url
from banno_creds.errors import BannoCredsError, ConfigurationError, KeyLoadError, SigningError
from banno_creds.http import answers
from banno_creds.http.client import HttpClient
from banno_creds.http.trust import Trust
from banno_creds.jose.encoding import parse_json_object
from banno_creds.storage.secret_files import read_private_file, secret_line
from banno_creds.text import printable, setting
from banno_creds.times import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.http.exchange import Answer

# The names that transit takes (its GenericNameRegex); a mount may have others, and slashes.
_NAME = r"\w(?:[\w.-]*\w)?"
_KEY = re.compile(
    rf"vault:(?P<mount>[^/?#]+(?:/[^/?#]+)*)/(?P<name>{_NAME})(?:\?version=(?P<version>[1-9]\d{{0,8}}))?",
    re.IGNORECASE | re.ASCII,
)
_SIGNATURE = re.compile(r"[a-z]{1,20}:v([0-9]{1,9}):([A-Za-z0-9+/]+={0,2}|[A-Za-z0-9_-]+)")

# By the members of a key that tell of them.
_EXITS = {
    "exportable": "may leave Vault: it is exportable",
    "allow_plaintext_backup": "may leave Vault: plaintext backups of it are allowed",
    "imported_key": "was imported: who made it may have a copy",
}

_BY_ALG: Mapping[str, Mapping[str, str]] = {
    # Without the length of the salt, transit takes the longest one; without the other, it gives DER.
    "PS256": {"signature_algorithm": "pss", "salt_length": "hash"},
    "RS256": {"signature_algorithm": "pkcs1v15"},
    "ES256": {"marshaling_algorithm": "jws"},
}


def open_key(uri: str, *, passphrase: Callable[[], bytes | None], timeout: float) -> TransitKey:
    """Read the public half of a key; see `protocol.OpenKey`. No PIN is asked for."""
    del passphrase
    return _read(_Named.by(uri), _Vault.by_variables(timeout))[0]


def make_key(uri: str, *, name: str, passphrase: Callable[[], bytes | None], timeout: float) -> str:
    """Make a key of the same type in the same mount, which can never leave it; see `protocol.MakeKey`."""
    del passphrase
    old = _Named.by(uri)
    if not re.fullmatch(_NAME, name, re.ASCII):
        raise KeyLoadError(
            f"{name!a} cannot be the name of a key in Vault", hint="use letters, digits, and _ . - between them"
        )
    new, vault = _Named(old.mount, name, None), _Vault.by_variables(timeout)
    _, kind = _read(old, vault)
    # A key of this name that is there already stays as it is, and transit says nothing of it.
    vault.ask("make", new, {"type": kind, "exportable": False, "allow_plaintext_backup": False})
    _, made = _read(new, vault)
    if made != kind:
        raise KeyLoadError(
            f"{new.path} is there already, and is of the type {made}, not {kind}",
            hint="choose another name for the new key",
        )
    return f"vault:{new.path}"


def _read(named: _Named, vault: _Vault) -> tuple[TransitKey, str]:
    """Return a key that can sign, and its type."""
    data = vault.ask("read", named)
    versions, version = data.get("keys"), named.version or data.get("latest_version")
    if not isinstance(versions, dict) or type(version) is not int:
        raise vault.no_vault("it tells of no versions of the key")
    if str(version) not in versions:
        numbers = ", ".join(sorted(versions, key=lambda each: each.zfill(9)))
        raise KeyLoadError(
            f"{named.path} has no version {version}: it has {printable(numbers, 80) or 'none'}",
            hint="name one of them after ?version=, or none for the latest",
        )
    of_version, kind = versions[str(version)], printable(data.get("type"), 40)
    public = of_version.get("public_key") if isinstance(of_version, dict) else None
    if not isinstance(public, str) or not public.startswith("-----BEGIN PUBLIC KEY-----"):
        why = "a derived key wants a context" if data.get("derived") else "the provider accepts no signature by it"
        raise KeyLoadError(
            f"{named.path} is of the type {kind}: {why}",
            hint="make one of the type ecdsa-p256, rsa-2048, rsa-3072 or rsa-4096",
        )
    warnings = vault.warnings
    if data.get("auto_rotate_period") and named.version is None:
        message = f"Vault rotates {named.path} by itself (auto_rotate_period), and the bank does not learn of it"
        warnings += ((message, f"name the version that the bank has, such as vault:{named.path}?version={version}"),)
    exits = tuple(
        (f"{named.path} {what}", "make another key: transit never takes this back")
        for name, what in _EXITS.items()
        if data.get(name)
    )
    created = None if data.get("imported_key") else _instant(of_version.get("creation_time"))
    return TransitKey(named, version, public.encode(), vault, warnings, exits, created), kind


def _instant(text: object) -> float | None:
    """Return a time of Vault's (RFC 3339) in seconds since the epoch; None if it is none."""
    try:
        return instant(str(text))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class TransitKey:
    """A key in transit, with the version that signs; see `protocol.SigningKey`."""

    named: _Named
    version: int
    public_key: bytes
    vault: _Vault = field(repr=False)
    warnings: tuple[tuple[str, str], ...] = ()
    exits: tuple[tuple[str, str], ...] = ()
    created: float | None = None

    @property
    def algorithms(self) -> tuple[str, ...]:
        """All: which of them fit the type of the key is seen from its public half."""
        return tuple(_BY_ALG)

    def sign(self, alg: str, signing_input: bytes) -> bytes:
        """Have transit sign; see `protocol.SigningKey`."""
        named = self.named
        asked = {
            "input": b64encode(signing_input).decode("ascii"),
            "key_version": self.version,
            "prehashed": False,
            **_BY_ALG[alg],
        }
        found = _SIGNATURE.fullmatch(str(self.vault.ask("sign", named, asked).get("signature")))
        if found is None:
            raise self.vault.no_vault("it gives no signature", SigningError)
        if int(found[1]) != self.version:
            raise SigningError(
                f"{named.path} signed with its version {int(found[1])}, and was asked for version {self.version}",
                hint="update Vault; no token was asked for with this signature",
            )
        text = found[2].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return b64decode(text + "=" * (-len(text) % 4), validate=True)
        except Base64Error:
            raise self.vault.no_vault("its signature is no base64", SigningError) from None


@dataclass(frozen=True, slots=True)
class _Named:
    """The mount and the name of a key, and the version asked for."""

    mount: str
    name: str
    version: int | None

    @classmethod
    def by(cls, uri: str) -> _Named:
        found = _KEY.fullmatch(uri)
        if found is None or not {".", ".."}.isdisjoint(found["mount"].split("/")):
            raise KeyLoadError(
                f"{printable(uri, 200)} names no key of Vault: the mount and the key are needed",
                hint="write vault:MOUNT/KEY or vault:MOUNT/KEY?version=N, such as vault:transit/banno; letters, "
                "digits, _ . and - are in a key's name",
            )
        return cls(found["mount"], found["name"], int(found["version"]) if found["version"] else None)

    @property
    def path(self) -> str:
        """The key as messages name it."""
        return f"{self.mount}/{self.name}"

    def api_path(self, verb: str) -> str:
        """Where it is read, made or used; below ``/v1``."""
        return f"{self.mount}/sign/{self.name}/sha2-256" if verb == "sign" else f"{self.mount}/keys/{self.name}"

    def policy(self, verb: str) -> tuple[str, ...]:
        """What a token needs to sign with it, or to make it, as a policy's lines."""
        more = '"create", "update", ' if verb == "make" else ""
        return (
            f'path "{self.api_path("read")}" {{ capabilities = [{more}"read"] }}',
            f'path "{self.api_path("sign")}" {{ capabilities = ["update"] }}',
        )


def _variable(name: str) -> tuple[str, str]:
    """Return the variable in force of the two that OpenBao's command reads, and its value; empty if none is set."""
    for each in (f"BAO_{name}", f"VAULT_{name}"):
        if os.environ.get(each):
            return each, os.environ[each]
    return f"VAULT_{name}", ""


@dataclass(frozen=True, slots=True)
class _Vault:
    """The server that the variables name; the token goes there and nowhere else.

    Attributes:
        variable: the variable that names it.
        address: its URL.
        headers: those of every request, the token among them.
        whence: where the token is from.
        warnings: what is wrong with the file that it is from.
        trust: the certificate authorities, read once; ``authority`` is the variable that names them.
        timeout: the seconds that a request may take.
    """

    variable: str
    address: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    whence: str
    warnings: tuple[tuple[str, str], ...]
    trust: Trust
    authority: str
    timeout: float

    @classmethod
    def by_variables(cls, timeout: float) -> _Vault:
        """Read the variables, as the commands ``bao`` and ``vault`` do; KeyLoadError if they will not do."""
        agent, address = _variable("AGENT_ADDR")
        variable = agent
        if not address:
            variable, address = _variable("ADDR")
        if not address:
            raise KeyLoadError(
                "VAULT_ADDR is not set, so nobody knows where Vault is", hint="set it: VAULT_ADDR=https://HOST:8200"
            )
        try:
            check_url(address, variable)
            whence, token, warnings = _token(may_be_missing=variable == agent)
        except ConfigurationError as fault:
            words = fault.marked
            raise KeyLoadError(words.message, hint=words.hint, details=words.details, rule=fault.rule) from None
        skips, value = _variable("SKIP_VERIFY")
        if address.startswith("https:") and value.lower() not in ("", "0", "f", "false"):
            raise KeyLoadError(
                f"{skips} is set, but Vault's certificate is always verified: another server would get the token",
                hint=f"unset {skips}, and name the certificate authority's file with VAULT_CACERT",
            )
        names, namespace = _variable("NAMESPACE")
        if not re.fullmatch(r"[\x21-\x7e]*", namespace):
            raise KeyLoadError(f"{names} has a blank or an odd character in it", hint="write it such as team/a")
        # The second one guards an agent against requests that somebody makes a browser send.
        headers = [("x-vault-token", token), ("x-vault-request", "true"), ("x-vault-namespace", namespace)]
        authority, file = next(
            (each for each in map(_variable, ("CACERT", "CAPATH")) if each[1]), ("VAULT_CACERT", "")
        )
        return cls(
            variable,
            address.rstrip("/").removesuffix("/v1"),
            tuple((name, value) for name, value in headers if value),
            whence,
            warnings,
            Trust(Path(file) if file else None),
            authority,
            timeout,
        )

    def ask(self, verb: str, named: _Named, members: object = None) -> Mapping[str, Any]:
        """Read, make or use a key, and return the data of the answer.

        Args:
            verb: "read", "make" or "sign".
            named: the key.
            members: what to post; None to get.

        Raises:
            KeyLoadError: there is no such answer.
            SigningError: the same, when it was to sign.
        """
        kind: type[BannoCredsError] = SigningError if verb == "sign" else KeyLoadError
        answer = self._send(named.api_path(verb), members, kind)
        if 300 <= answer.status < 400:
            raise kind(
                f"{answers.redirect(answer)}, which is never followed: the token is for {self.variable} alone",
                hint=f"set {self.variable} to the active node, or to what stands before all of them",
                details=answers.exchange(answer),
            )
        try:
            body = parse_json_object(answer.content, any_number=True) if answer.content else {}
        except ValueError as failure:
            if answers.is_unavailable(answer.status):
                raise self._refused(answer, verb, named, kind) from None
            raise self.no_vault(answers.what_is_wrong(answer, failure), kind, answers.words(answer)) from None
        if answer.status >= 300:
            raise self._refused(answer, verb, named, kind)
        data = body.get("data")
        if not isinstance(data, dict) and verb != "make":  # old servers make a key, and say nothing
            raise self.no_vault("there is no data in its answer", kind)
        return data or {}

    def _send(self, path: str, members: object, kind: type[BannoCredsError]) -> Answer:
        url = f"{self.address}/v1/{quote(path)}"
        http = HttpClient(self.timeout, trust=self.trust)
        try:
            return http.get(url, self.headers) if members is None else http.post_json(url, members, self.headers)
        except BannoCredsError as failure:
            words = failure.words(lambda name: self.authority if name == "ca_bundle" else setting(name))
            # A setting, such as the proxy's, is named by its own words.
            what = "" if isinstance(failure, ConfigurationError) else f"no answer from Vault ({self.variable}): "
            raise kind(what + words.message, hint=words.hint, details=words.details, rule=failure.rule) from None

    def _refused(self, answer: Answer, verb: str, named: _Named, kind: type[BannoCredsError]) -> BannoCredsError:
        """Return the error for a status that is none of success."""
        said = answers.words(answer)
        words = " ".join(said)
        if answer.status == 403:
            return self._not_allowed(verb, named, kind)
        if answer.status == 404:
            return self._not_found(words, named, kind)
        if "signing key not found" in words:
            return kind(
                f"the key {named.path} is not in Vault any more",
                hint=f"look at the list: vault list {named.mount}/keys",
            )
        if "minimum encryption key version" in words:
            return kind(
                f"{named.path} does not sign with this version any more: its min_encryption_version is higher",
                hint="name a later version after ?version=, or none for the latest",
            )
        if "is sealed" in words:
            return kind("Vault is sealed: it can use no key", hint="have it unsealed: vault operator unseal")
        if answers.is_unavailable(answer.status):
            error = answers.unavailable(answer)
            return kind(f"Vault: {error.message}", hint=error.hint, details=error.details, rule=error.rule)
        return kind(
            f"Vault does not {verb} {named.path}: {answer.status} {answer.reason}",
            hint="look at its own words, and at its audit log",
            details=answers.exchange(answer) + said,
        )

    def _not_allowed(self, verb: str, named: _Named, kind: type[BannoCredsError]) -> BannoCredsError:
        """Return the error for 403, which a bad token gets as well as one that lacks the right."""
        if self._send("auth/token/lookup-self", None, kind).status == 403:
            whence = f"the token of {self.whence}" if self.whence else "a request without a token"
            return kind(
                f"Vault does not accept {whence}: it has expired, was revoked, or is of another server",
                hint="log in again (vault login, or bao login), or have the job get a new token",
            )
        return kind(
            f"the token of {self.whence} may not {verb} {'with ' if verb == 'sign' else ''}the key {named.path}",
            hint="if this is the right key, have these lines added to one of its policies",
            details=named.policy(verb),
        )

    def _not_found(self, words: str, named: _Named, kind: type[BannoCredsError]) -> BannoCredsError:
        """Return the error for 404: there is no such key, mount or namespace."""
        if "no handler" in words or "namespace" in words:
            return kind(
                f"nothing is mounted at {named.mount} in this namespace of Vault",
                hint="look at the list: vault secrets list; VAULT_NAMESPACE names the namespace",
            )
        looked_up = self._send(f"sys/internal/ui/mounts/{named.mount}", None, kind)
        try:
            mount = parse_json_object(looked_up.content, any_number=True).get("data")
        except ValueError:
            mount = None
        if isinstance(mount, dict):
            engine, path = (looked_up.said(mount.get(each), 200) for each in ("type", "path"))
            path = path.rstrip("/")
            if engine != "transit":
                return kind(
                    f"the engine at {path} in Vault is of the type {engine}, not transit",
                    hint="name the mount of transit: vault secrets list",
                )
            if named.mount.startswith(f"{path}/"):
                return kind(
                    f"transit is mounted at {path} in Vault, not at {named.mount}",
                    hint=f"write vault:{path}/{named.name}",
                )
        return kind(
            f"there is no key {named.path} in Vault",
            hint=f"look at the list: vault list {named.mount}/keys",
        )

    def no_vault(
        self, what: str, kind: type[BannoCredsError] = KeyLoadError, details: tuple[str, ...] = ()
    ) -> BannoCredsError:
        """Return the error for an answer that is none of Vault's."""
        return kind(
            f"what answers at {self.variable} does not answer as Vault does: {what}",
            hint=f"check {self.variable} ({self.address}), and what stands in front of the server",
            details=details,
        )


def _token(*, may_be_missing: bool) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Return where the token is from, the token, and the warnings about its file."""
    variable, value = _variable("TOKEN")
    warnings: tuple[tuple[str, str], ...] = ()
    if not value:
        _, named = _variable("TOKEN_PATH")
        path = Path(os.path.expanduser(named or "~/.vault-token"))  # noqa: PTH111 - pathlib raises without a home
        variable = str(path)
        if not named and not path.exists():
            if may_be_missing:
                return "", "", ()
            raise KeyLoadError(
                f"there is no token for Vault: VAULT_TOKEN is not set, and {path} is not there",
                hint="log in (vault login, or bao login), or set VAULT_TOKEN",
            )
        file = read_private_file(path, what="token", error=ConfigurationError)
        value, warnings = secret_line(file.content, f"token in {path}").decode("utf-8", "replace"), file.warnings
    value = value.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise KeyLoadError(
            f"what is in {variable} is no token of Vault (not shown): it has a blank or an odd character in it",
            hint="copy the token again, or log in again: vault login",
        )
    return variable, value, warnings
