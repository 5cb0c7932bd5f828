"""Keys on a PKCS #11 token: an HSM, a smart card, a YubiKey, a TPM; named by RFC 7512's URIs, and never read out."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from banno_creds.errors import KeyLoadError, PassphraseError, SigningError
from banno_creds.key_holders.pkcs11_uri import KeyUri, parse, percent
from banno_creds.shells import join
from banno_creds.text import printable, quoted, setting

try:
    import pkcs11
    from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error
except ImportError as failure:
    raise KeyLoadError(
        f"keys of pkcs11: need the package python-pkcs11, which is not here: {printable(failure, 80)}",
        hint='pip install "banno-creds[pkcs11]"',
    ) from failure

from banno_creds.key_holders.pkcs11_token import (
    BROKEN,
    ENDED,
    NotAnsweringError,
    Pin,
    attribute_mapper,
    attribute_of,
    find_token,
    module_at,
    name_of,
    open_session,
    refusal,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from typing import TypeVar

    from banno_creds.jose.keys import Passphrase
    from banno_creds.key_holders.pkcs11_token import Name

    T = TypeVar("T")

_MOST_OBJECTS = 1000
_MOST_NAMED = 6
_ID_BYTES = 16
_GENERATION = 300  # seconds; a smart card takes a minute and more for a large RSA key
# Seconds before a module is initialised again: SoftHSM fails, or misses a token, while another process logs in.
_PAUSES = (0.05, 0.1, 0.2)
_P256 = bytes.fromhex("06082a8648ce3d030107")
# DigestInfo of SHA-256 (RFC 8017 section 9.2), for a token that signs a hash which it did not make.
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class _Way(NamedTuple):
    """A mechanism, and whether the token hashes by it; if not, what stands before the hash."""

    mechanism: Mechanism
    hashes: bool
    param: tuple[Mechanism, MGF, int] | None = None
    prefix: bytes = b""

    def prepared(self, signing_input: bytes) -> bytes:
        return signing_input if self.hashes else self.prefix + hashlib.sha256(signing_input).digest()


_PSS = (Mechanism.SHA256, MGF.SHA256, 32)
_WAYS = {
    "PS256": (
        _Way(Mechanism.SHA256_RSA_PKCS_PSS, hashes=True, param=_PSS),
        _Way(Mechanism.RSA_PKCS_PSS, hashes=False, param=_PSS),
    ),
    "RS256": (
        _Way(Mechanism.SHA256_RSA_PKCS, hashes=True),
        _Way(Mechanism.RSA_PKCS, hashes=False, prefix=_DIGEST_INFO),
    ),
    "ES256": (_Way(Mechanism.ECDSA_SHA256, hashes=True), _Way(Mechanism.ECDSA, hashes=False)),
}
_OF_TYPE = {KeyType.RSA: ("PS256", "RS256"), KeyType.EC: ("ES256",)}


def open_key(uri: str, *, passphrase: Passphrase, timeout: float) -> Pkcs11Key:
    """Find the key of a URI on its token; see `protocol.OpenKey`.

    Raises:
        KeyLoadError: there is no such module, token or key, or it cannot be used.
        PassphraseError: the PIN is missing, wrong, expired or locked.
    """
    return Pkcs11Key(parse(uri), passphrase, timeout)


def make_key(uri: str, *, name: str, passphrase: Passphrase, timeout: float) -> str:
    """Make a key beside that of a URI, on its token, which keeps it; see `protocol.MakeKey`.

    Raises:
        KeyLoadError: the token makes none.
    """
    return Pkcs11Key(parse(uri), passphrase, timeout).make_another(name)


class _InUse(NamedTuple):
    """A key in the session of a token."""

    token: Name
    session: pkcs11.Session
    key: Any  # a private key that can sign: python-pkcs11 makes a class for each object


class Pkcs11Key:
    """A private key on a token.

    Attributes:
        public_key: its SubjectPublicKeyInfo.
        algorithms: those that the token and the key allow.
        holder: who signs, in words.
        exits: a message and a hint for each way in which it may leave the token.
        created: when it was made, in seconds since 1970, if the token tells.
    """

    def __init__(self, uri: KeyUri, passphrase: Passphrase, timeout: float) -> None:
        self._uri = uri
        self._timeout = timeout
        self._module = module_at(uri.module)
        self._pin = Pin(uri, passphrase)
        self._in_use: _InUse | None = None
        with self._used(KeyLoadError):
            self._again(self._look)
        self.algorithms = tuple(self._ways)

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """What is wrong with the PIN's file, and what to do about it."""
        return self._pin.warnings

    def __repr__(self) -> str:
        return f"Pkcs11Key({self._uri.text!r})"

    def sign(self, alg: str, signing_input: bytes) -> bytes:
        """Have the token sign; see `protocol.SigningKey.sign`.

        Raises:
            SigningError: it did not.
            KeyLoadError: the token or the key is there no more.
            PassphraseError: it wants the PIN again, which is missing or wrong.
        """
        way = self._ways[alg]
        data = way.prepared(signing_input)
        with self._used(SigningError):
            return self._again(lambda: self._signed(way, data))

    def make_another(self, name: str) -> str:
        """Make a key of this one's type and size, unless the token has one of this name; return its URI."""
        label = name.encode()
        with self._used(KeyLoadError):
            there = self._again(lambda: self._labelled(label))
            if not self._uri.path.keys() & {"object", "id"}:
                # With a second key it would name two, and nobody could sign with either.
                own = self._uri.of(self._label, self._run(lambda: _id_of(self._found().key)))
                raise KeyLoadError(
                    f"{self._uri.short} names the key by its token alone, and beside a new key it would name two",
                    hint=f"name it by its label too, in each profile: --private-key {join([own])}",
                )
            if self._label == label:
                raise KeyLoadError(
                    f"the key of {self._uri.short} is called {quoted(name)} itself", hint="choose another name"
                )
            if len(there) > 1:
                raise self._run(lambda: _twice(there, f"the name {quoted(name)}"))
            key_id = self._run(lambda: _id_of(there[0])) if there else self._generated(label)
        return self._uri.of(label, key_id)

    # --- the session ---

    @contextmanager
    def _used(self, kind: type[KeyLoadError | SigningError]) -> Iterator[None]:
        """Use the module, and nobody else meanwhile; what it says becomes an error of a kind."""
        try:
            with self._module.lock:
                yield
        except NotAnsweringError as failure:
            raise kind(
                f"the PKCS #11 module of {self._uri.short} did not answer within {self._timeout:g} s",
                hint="look if the token wants to be touched, or if its server can be reached; then try again",
                details=(f"PKCS #11 module: {self._module}",),
            ) from failure
        except PKCS11Error as failure:
            what = "did not sign" if kind is SigningError else "failed"
            raise kind(
                f"the token of {self._uri.short} {what}: {words_of(failure)}",
                hint="look at the settings and the log of the PKCS #11 module",
                details=(f"PKCS #11 module: {self._module}",),
            ) from failure

    def _again(self, work: Callable[[], T]) -> T:
        """Do something with the token; again in a new session, and after that by the module initialised again."""
        begun_anew, session_anew = 0, False
        while True:
            try:
                return work()
            except PKCS11Error as failure:
                self._end()
                # The last is what is said if somebody else in this process ended the module.
                broken = isinstance(failure, BROKEN) or "not initialized" in str(failure)
                ended = isinstance(failure, ENDED) and not session_anew
                if not ended and not (broken and begun_anew < len(_PAUSES)):
                    raise
                session_anew = True
                if broken:
                    time.sleep(_PAUSES[begun_anew])
                    self._module.begin_anew()
                    begun_anew += 1

    def _run(self, work: Callable[[], T]) -> T:
        return self._module.run(work, self._timeout)

    def _end(self) -> None:
        """Close the session, which may have an operation begun in it."""
        before, self._in_use = self._in_use, None
        if before is not None:
            self._run(lambda: self._module.forget(before.token))

    def _token(self) -> pkcs11.Token:
        """Return the token, with its flags as they are now."""

        def find() -> pkcs11.Token:
            return find_token(self._module.library(), self._uri)

        for pause in _PAUSES:
            try:
                return self._run(find)
            except KeyLoadError:
                time.sleep(pause)
                if not self._module.sessions:  # they would end
                    self._module.begin_anew()  # some modules look for tokens only once
        return self._run(find)

    def _look(self) -> _InUse:
        """Find the key in the token's session."""
        token = self._token()
        name = name_of(token)
        session = self._module.sessions.get(name)
        if session is None:
            session = open_session(self._module, token, self._pin, self._timeout)
            self._module.sessions[name] = session
        self._in_use = _InUse(name, session, None)  # for `_end`, if the key is not found in it
        self._in_use = _InUse(name, session, self._run(lambda: self._read(token, session)))
        return self._in_use

    def _found(self) -> _InUse:
        """Return the key; look for it again if the token has another session than before."""
        here = self._in_use
        if here is None or here.key is None or self._module.sessions.get(here.token) is not here.session:
            return self._look()
        return here

    def _signed(self, way: _Way, data: bytes) -> bytes:
        key = self._found().key
        options: dict[str, Any] = {"mechanism": way.mechanism, "mechanism_param": way.param}
        if not self._wants_pin:
            return bytes(self._run(lambda: key.sign(data, **options)))
        token = self._token()
        options["pin"] = self._pin.get(token)
        if options["pin"] is None:
            raise PassphraseError(
                f"the key of {self._uri.short} wants the PIN for each signature (CKA_ALWAYS_AUTHENTICATE)",
                hint=f"name a file with the PIN by {setting('passphrase_file')}; a reader's own keys do not do here",
            )
        try:
            return bytes(self._run(lambda: key.sign(data, **options)))
        except (pkcs11.PinIncorrect, pkcs11.PinLocked) as failure:
            self._end()
            raise refusal(self._module, token, self._pin, failure, self._timeout) from failure

    # --- what is on the token; in the thread that `_run` starts ---

    def _read(self, token: pkcs11.Token, session: pkcs11.Session) -> pkcs11.Object:
        """Find the key, and read what its token tells of it."""
        names = {Attribute.LABEL: self._uri.path.get("object"), Attribute.ID: self._uri.path.get("id")}
        found = _objects(session, ObjectClass.PRIVATE_KEY, {name: value for name, value in names.items() if value})
        if not found:
            raise self._not_found(token, session)
        if len(found) > 1:
            raise _twice(found, self._uri.short)
        key = found[0]
        kind = attribute_of(key, Attribute.KEY_TYPE)
        if not isinstance(kind, KeyType) or kind not in _OF_TYPE:
            name = kind.name if isinstance(kind, KeyType) else "unknown"
            from banno_creds.jose import unusable_key

            raise unusable_key.wrong_type(name, self._uri.short).but(hint=_ANOTHER)
        if not hasattr(key, "sign"):
            raise KeyLoadError(
                f"the key of {self._uri.short} is not for signing (CKA_SIGN is false)",
                hint="name another key, or have one made for signing",
            )
        self._label = _label_of(key)
        beside = {Attribute.ID: _id_of(key)} if _id_of(key) else {Attribute.LABEL: self._label}
        public = _objects(session, ObjectClass.PUBLIC_KEY, {**beside, Attribute.KEY_TYPE: kind})
        public.sort(key=lambda other: _label_of(other) != self._label)
        certificates = _objects(session, ObjectClass.CERTIFICATE, beside)
        self.public_key = self._public_half((key, *public), certificates, kind)
        self.created = next(filter(None, map(_start_of, (key, *public))), None)
        self._ways = _ways_of(token, key, kind)
        self._wants_pin = bool(attribute_of(key, Attribute.ALWAYS_AUTHENTICATE))
        self.exits = _exits_of(key, self._uri.short)
        self.holder = f"the token {quoted(printable(token.label, 32))}, by {self._module},"
        return key

    def _not_found(self, token: pkcs11.Token, session: pkcs11.Session) -> KeyLoadError:
        keys = _objects(session, ObjectClass.PRIVATE_KEY, {})
        there = [
            f"{quoted(printable(_label_of(key).decode('utf-8', 'replace'), 40))} (id={percent(_id_of(key))})"
            for key in keys
        ]
        more = len(there) - _MOST_NAMED
        names = ", ".join(there[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        return KeyLoadError(
            f"the token {quoted(printable(token.label, 32))} has no private key that {self._uri.short} names",
            hint=f"correct object or id in the URI; its private keys are {names}"
            if there
            else "make one on the token, such as by pkcs11-tool --keypairgen: it shows none",
        )

    def _public_half(
        self, keys: Sequence[pkcs11.Object], certificates: Sequence[pkcs11.Object], kind: KeyType
    ) -> bytes:
        """Return the SubjectPublicKeyInfo: from the private key itself, its public key object or its certificate."""
        for each in keys:
            native = _rsa_of(each) if kind is KeyType.RSA else _ec_of(each, self._uri.short)
            if native is not None:
                return native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for each in certificates:
            certified = _certified(each)
            if isinstance(certified, rsa.RSAPublicKey if kind is KeyType.RSA else ec.EllipticCurvePublicKey):
                return certified.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        raise KeyLoadError(
            f"the token has neither the public half nor the certificate of {self._uri.short}",
            hint=f"write it beside: pkcs11-tool --write-object FILE --type pubkey --id {_id_of(keys[0]).hex()}",
        )

    # --- a new key ---

    def _labelled(self, label: bytes) -> list[pkcs11.Object]:
        session = self._found().session
        return self._run(lambda: _objects(session, ObjectClass.PRIVATE_KEY, {Attribute.LABEL: label}))

    def _generated(self, label: bytes) -> bytes:
        """Have the token make a key pair that it keeps; return its id."""
        key_id = os.urandom(_ID_BYTES)
        token = self._found().session.token
        native = load_der_public_key(self.public_key)
        size = native.key_size if isinstance(native, rsa.RSAPublicKey) else None
        try:
            # Not tried again: after an error, there may be a key all the same.
            self._module.run(lambda: _generate(token, size, label, key_id), max(self._timeout, _GENERATION))
        except PKCS11Error as failure:
            self._end()
            raise KeyLoadError(
                f"the token of {self._uri.short} made no key: {words_of(failure)}",
                hint="make one with the tool of the token's maker, and name it by its own URI",
                details=(f"PKCS #11 module: {self._module}",),
            ) from failure
        return key_id


def _generate(token: pkcs11.Token, size: int | None, label: bytes, key_id: bytes) -> None:
    """Make an RSA key of a size, or an EC key, which never leaves the token; its user is logged in."""
    session = token.open(rw=True, attribute_mapper=attribute_mapper())
    options: dict[str, Any] = {
        "id": key_id,
        "label": label,
        "store": True,
        "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
        "private_template": {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True},
    }

    def generate(public: dict[Attribute, Any]) -> None:
        if size is not None:
            session.generate_keypair(KeyType.RSA, size, public_template=public, **options)
        else:
            curve = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: _P256}, local=True)
            curve.generate_keypair(public_template=public, **options)

    try:
        try:
            # For its age. With the public half, since SoftHSM does not tell that of a private one.
            generate({Attribute.START_DATE: datetime.now(UTC).date()})
        except (pkcs11.AttributeTypeInvalid, pkcs11.AttributeValueInvalid, pkcs11.TemplateInconsistent):
            generate({})
    finally:
        with suppress(PKCS11Error):
            session.close()


def _objects(session: pkcs11.Session, of_class: ObjectClass, template: dict[Attribute, Any]) -> list[pkcs11.Object]:
    wanted = {Attribute.CLASS: of_class, **template}
    with closing(cast("Generator[pkcs11.Object]", session.get_objects(wanted))) as found:
        return list(islice(found, _MOST_OBJECTS))


_ANOTHER = "name another key of this token, or have it make one: RSA of 2048 bits or more, or EC P-256"


def _twice(found: list[pkcs11.Object], what: str) -> KeyLoadError:
    ids, labels = [_id_of(key) for key in found], [_label_of(key) for key in found]
    if all(labels) and len({*labels}) == len(labels):
        named = [f"object={quote(label, safe='')}" for label in labels]
    else:
        named = [f"id={percent(key_id)}" for key_id in dict.fromkeys(ids) if key_id and ids.count(key_id) == 1]
    more = len(named) - _MOST_NAMED
    return KeyLoadError(
        f"{what} names {len(found)} private keys of the token",
        hint=f"add one of these to the URI: {', '.join(named[:_MOST_NAMED])}"
        + (f" and {more} more" if more > 0 else "")
        if named
        else "have the token's own tool give each an id of its own (CKA_ID): they have none that tells them apart",
    )


def _label_of(thing: pkcs11.Object) -> bytes:
    label = attribute_of(thing, Attribute.LABEL)
    return label.encode() if isinstance(label, str) else b""


def _id_of(thing: pkcs11.Object) -> bytes:
    found = attribute_of(thing, Attribute.ID)
    return found if isinstance(found, bytes) else b""


def _ways_of(token: pkcs11.Token, key: pkcs11.Object, kind: KeyType) -> dict[str, _Way]:
    """Return how to sign by each algorithm that the token has and the key allows, the best first."""
    there = {int(mechanism) for mechanism in token.slot.get_mechanisms()}
    allowed = attribute_of(key, Attribute.ALLOWED_MECHANISMS)
    if isinstance(allowed, list) and allowed:  # no list, or an empty one, allows all
        there &= set(allowed)
    found = {alg: next((way for way in _WAYS[alg] if way.mechanism in there), None) for alg in _OF_TYPE[kind]}
    return {alg: way for alg, way in found.items() if way is not None}


def _exits_of(key: pkcs11.Object, origin: str) -> tuple[tuple[str, str], ...]:
    """Return the ways in which a key may leave its token, as far as the token tells."""
    found = [words for attribute, value, words in _EXITS if attribute_of(key, attribute) is value]
    return tuple(
        (f"{origin} {words}", "have the token make another key: this is never taken back") for words in found[:1]
    )


_EXITS = (
    (Attribute.SENSITIVE, False, "can be read out of its token as it is (CKA_SENSITIVE is false)"),
    (Attribute.EXTRACTABLE, True, "can be taken out of its token (CKA_EXTRACTABLE is true)"),
    (Attribute.LOCAL, False, "was not made on its token (CKA_LOCAL is false): who made it may have a copy"),
    (Attribute.NEVER_EXTRACTABLE, False, "could be taken out of its token once (CKA_NEVER_EXTRACTABLE is false)"),
    (Attribute.ALWAYS_SENSITIVE, False, "could be read out of its token once (CKA_ALWAYS_SENSITIVE is false)"),
)


def _start_of(key: pkcs11.Object) -> float | None:
    start = attribute_of(key, Attribute.START_DATE)
    return datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp() if isinstance(start, date) else None


def _rsa_of(thing: pkcs11.Object) -> rsa.RSAPublicKey | None:
    modulus, exponent = (attribute_of(thing, name) for name in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT))
    if not isinstance(modulus, bytes) or not isinstance(exponent, bytes):
        return None
    try:
        return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    except ValueError:
        return None


def _ec_of(thing: pkcs11.Object, origin: str) -> ec.EllipticCurvePublicKey | None:
    parameters, point = (attribute_of(thing, name) for name in (Attribute.EC_PARAMS, Attribute.EC_POINT))
    if isinstance(parameters, bytes) and parameters[:1] == b"\x06" and parameters != _P256:
        from banno_creds.jose import unusable_key

        raise unusable_key.wrong_curve("another curve than P-256", origin).but(hint=_ANOTHER)
    if not isinstance(point, bytes):
        return None
    # It is an OCTET STRING; some tokens give a BIT STRING, or the point itself.
    for wrapping in (b"\x04\x41", b"\x03\x42\x00"):
        if len(point) == 65 + len(wrapping):
            point = point.removeprefix(wrapping)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return None


def _certified(certificate: pkcs11.Object) -> object:
    from cryptography import x509  # it takes a third of the time that all of this takes to start

    content = attribute_of(certificate, Attribute.VALUE)
    try:
        return x509.load_der_x509_certificate(content).public_key() if isinstance(content, bytes) else None
    except (ValueError, UnsupportedAlgorithm):
        return None
