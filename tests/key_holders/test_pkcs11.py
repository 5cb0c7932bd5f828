"""Keys on a token of SoftHSM, which is a real PKCS #11 module."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from banno_creds.config import TypedSecret
from banno_creds.errors import KeyLoadError, PassphraseError
from banno_creds.key_holders import held_key
from banno_creds.key_holders.held_key import HeldSigner
from tests.conftest import CLIENT_ID, write_private
from tests.key_holders.softhsm import forget, library, make_key, module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from banno_creds.key_holders.held_key import HeldKey
    from banno_creds.key_holders.pkcs11_token import Module
    from tests.conftest import Cli
    from tests.key_holders.granted import Granted
    from tests.key_holders.softhsm import SoftHsm

pytestmark = pytest.mark.posix("SoftHSM is a library of Linux here")

RSA = "pkcs11:token=banno;object=signing"
EC = "pkcs11:token=banno;object=signing-ec"
LOCKED, LAST, LOW, LOGIN_REQUIRED = 0x40000, 0x20000, 0x10000, 0x4


@pytest.fixture
def opened(softhsm: SoftHsm) -> Callable[..., HeldKey]:
    """Return a function that opens a key, with the right PIN if no other is given."""

    def call(uri: str = RSA, pin: bytes | None = softhsm.pin.encode()) -> HeldKey:
        return held_key.open_key(uri, lambda: pin, 30)

    return call


@pytest.fixture
def session(softhsm: SoftHsm) -> Any:
    """A session in which a test puts more on the token; the module takes part in its login."""
    return library().get_token(token_label="banno").open(rw=True, user_pin=softhsm.pin)


def _signs(key: HeldKey, alg: str | None = None) -> bool:
    """Sign and verify, as `HeldSigner` does."""
    return bool(HeldSigner(key, alg or key.algorithms[0]).sign(b"header.payload"))


# --- a token is granted ---


@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
def test_the_provider_grants_a_token_to_a_key_on_a_token(softhsm: SoftHsm, granted: Granted, alg: str) -> None:
    granted(EC if alg == "ES256" else RSA, alg)


def test_and_to_processes_of_their_own(softhsm: SoftHsm, granted: Granted, process: Cli) -> None:
    granted(EC, "ES256", run=process, env={**softhsm.variables, "BANNO_CREDS_PKCS11_PIN": softhsm.pin})


# --- the key, by its names ---


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:object=signing",
        "pkcs11:id=%01",
        "pkcs11:token=banno;id=%01;type=private",
        "pkcs11:manufacturer=SoftHSM%20project;model=SoftHSM%20v2;object=signing",
        "pkcs11:library-manufacturer=SoftHSM;object=sig%6Eing",
    ],
)
def test_a_key_has_several_names(opened: Callable[..., HeldKey], uri: str) -> None:
    assert opened(uri).description == "RSA 2048"


def test_a_token_is_named_by_serial_and_slot(opened: Callable[..., HeldKey]) -> None:
    token = library().get_token(token_label="banno")
    serial = token.serial.decode()
    assert opened(f"pkcs11:serial={serial};slot-id={token.slot.slot_id};object=signing-ec").type == "EC"
    with pytest.raises(KeyLoadError, match="no token here is what"):
        opened(f"pkcs11:serial={serial};slot-id=77;object=signing-ec")


def test_a_label_that_two_keys_have_names_their_ids(session: Any, opened: Callable[..., HeldKey]) -> None:
    make_key(session, "secp256r1", "signing", b"\xfe\x00")
    with pytest.raises(KeyLoadError) as caught:
        opened()
    assert caught.value.message == f"{RSA} names 2 private keys of the token"
    assert "id=%01" in str(caught.value.hint)
    assert "id=%FE%00" in str(caught.value.hint)
    assert opened(f"{RSA};id=%FE%00").type == "EC"


def test_keys_that_no_id_tells_apart_want_one(session: Any, opened: Callable[..., HeldKey]) -> None:
    for _ in range(2):
        make_key(session, "secp256r1", "twins", b"\x41")
    with pytest.raises(KeyLoadError, match="names 2 private keys") as caught:
        opened("pkcs11:token=banno;object=twins")
    assert "an id of its own" in str(caught.value.hint)
    assert "id=%41" not in str(caught.value.hint)


def test_a_key_that_is_not_there_names_those_that_are(session: Any, opened: Callable[..., HeldKey]) -> None:
    with pytest.raises(KeyLoadError) as caught:
        opened("pkcs11:token=banno;object=other")
    assert "has no private key that pkcs11:token=banno;object=other names" in caught.value.message
    assert "'signing'" in str(caught.value.hint)
    for number in range(9):
        make_key(session, "secp256r1", f"\x1b[31mkey {number}", bytes([0x40, number]))
    with pytest.raises(KeyLoadError) as caught:
        opened("pkcs11:object=other")
    assert "and 5 more" in str(caught.value.hint)
    assert "\x1b" not in str(caught.value.hint)


def test_a_token_that_is_not_there_names_those_that_are(softhsm: SoftHsm, cli: Cli) -> None:
    done = cli("keygen", "--public-from", "pkcs11:token=Banno;object=signing", "--public-key", "-")
    assert done.code == 3
    assert "the tokens here are 'banno'" in done.stderr
    assert str(module()) in done.stderr


def test_a_token_named_twice_is_told_by_its_serial(softhsm: SoftHsm, opened: Callable[..., HeldKey]) -> None:
    softhsm.make_token("banno")
    with pytest.raises(KeyLoadError) as caught:
        opened()
    assert caught.value.message == f"{RSA} names 2 tokens"
    first = str(caught.value.hint).rpartition(": ")[2].split(", ")
    assert len(first) == 2
    results = []
    for serial in first:
        try:
            results.append(opened(f"pkcs11:{serial};object=signing").description)
        except KeyLoadError as failure:
            results.append(failure.hint or "")
    assert sorted(results) == [
        "RSA 2048",
        "make one on the token, such as by pkcs11-tool --keypairgen: it shows none",
    ]


def test_a_serial_number_may_be_filled_up_with_zeros(softhsm: SoftHsm) -> None:
    """SoftHSM's is not, and some tokens' are."""
    from banno_creds.key_holders.pkcs11_token import find_token
    from banno_creds.key_holders.pkcs11_uri import parse

    slot = library().get_token(token_label="banno").slot
    token = slot.get_token()
    filled = SimpleNamespace(
        **{name: getattr(token, name) for name in ("slot", "label", "flags", "manufacturer_id", "model")},
        serial=b"4711\0\0\0 ",
    )
    here = SimpleNamespace(
        get_slots=lambda **_: [SimpleNamespace(get_token=lambda: filled)],
        manufacturer_id="a",
        library_description="b",
        library_version=(1, 2),
    )
    assert find_token(here, parse(f"pkcs11:serial=4711;token=banno?module-path={module()}")) is filled  # type: ignore[arg-type, comparison-overlap]


def test_no_token_at_all(softhsm: SoftHsm, opened: Callable[..., HeldKey]) -> None:
    shutil.rmtree(softhsm.token_file().parent)
    with pytest.raises(KeyLoadError, match="no token here"):
        opened()
    with pytest.raises(KeyLoadError, match="names no token"):
        opened("pkcs11:object=signing")


# --- the public half ---


def test_the_public_half_of_an_rsa_key_needs_no_other_object(session: Any, opened: Callable[..., HeldKey]) -> None:
    public, _ = make_key(session, "RSA", "alone", b"\x07")
    public.destroy()
    assert _signs(opened("pkcs11:object=alone"))


def test_that_of_an_ec_key_may_come_from_a_certificate(session: Any, opened: Callable[..., HeldKey]) -> None:
    import pkcs11
    from pkcs11 import Attribute

    public, _ = make_key(session, "secp256r1", "certified", b"\x07")
    key = opened("pkcs11:object=certified")
    public.destroy()
    with pytest.raises(KeyLoadError, match="neither the public half nor the certificate"):
        opened("pkcs11:object=certified")
    assert _signs(key)  # what was opened goes on

    def certify(other: HeldKey) -> None:
        session.create_object(
            {
                Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE,
                Attribute.CERTIFICATE_TYPE: pkcs11.constants.CertificateType.X_509,
                Attribute.TOKEN: True,
                Attribute.ID: b"\x07",
                Attribute.SUBJECT: b"0\0",
                Attribute.VALUE: _certificate(other),
            }
        )

    certify(opened(RSA))
    with pytest.raises(KeyLoadError, match="neither the public half nor the certificate"):
        opened("pkcs11:object=certified")
    certify(key)
    assert opened("pkcs11:object=certified").public.spki() == key.public.spki()


def _certificate(key: HeldKey) -> bytes:
    """Certify a public key, with an authority that is made for it."""
    from cryptography.hazmat.primitives.asymmetric import ec

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "banno")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public.native, 1, now, now + timedelta(days=1))
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.DER
    )


def test_a_public_key_of_the_same_id_and_another_label_does_not_confuse(
    session: Any, opened: Callable[..., HeldKey]
) -> None:
    make_key(session, "secp256r1", "a", b"\x07")[1].destroy()  # its public half stays
    make_key(session, "secp256r1", "b", b"\x07")
    assert _signs(opened("pkcs11:object=b"))


def test_nor_does_one_of_another_label_where_no_key_has_an_id(session: Any, opened: Callable[..., HeldKey]) -> None:
    make_key(session, "secp256r1", "a", b"")[0].destroy()  # its private half stays
    make_key(session, "secp256r1", "b", b"")
    assert _signs(opened("pkcs11:object=b"))
    with pytest.raises(KeyLoadError, match="neither the public half nor the certificate"):
        opened("pkcs11:object=a")


def test_the_age_is_not_that_of_a_key_of_another_type(session: Any, opened: Callable[..., HeldKey]) -> None:
    from pkcs11 import Attribute, KeyType
    from pkcs11.util.ec import encode_named_curve_parameters

    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(
        id=b"\x01", label="signing", store=True, public_template={Attribute.START_DATE: datetime.now(UTC).date()}
    )[1].destroy()
    assert opened().created is None


@pytest.mark.parametrize("form", ["wrapped", "bare", "bits"])
def test_the_point_of_an_ec_key_may_be_wrapped_or_not(has_softhsm: None, form: str) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from pkcs11 import Attribute

    from banno_creds.key_holders import pkcs11 as room

    native = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = native.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    wrapped = {"wrapped": b"\x04\x41" + point, "bare": point, "bits": b"\x03\x42\0" + point}[form]
    thing: Any = {Attribute.EC_PARAMS: room._P256, Attribute.EC_POINT: wrapped}
    assert room._ec_of(thing, "pkcs11:") == native
    thing[Attribute.EC_POINT] = wrapped[:-1]
    assert room._ec_of(thing, "pkcs11:") is None


# --- what cannot be used ---


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("secp384r1", {}, "another curve than P-256"),
        ("RSA1024", {}, "of 1024 bits"),
        ("RSA", {"SIGN": False}, "is not for signing (CKA_SIGN is false)"),
    ],
)
def test_what_cannot_be_used_is_said(
    session: Any, opened: Callable[..., HeldKey], kind: str, more: dict[str, Any], words: str
) -> None:
    make_key(session, kind, "odd", b"\x07", **more)
    with pytest.raises(KeyLoadError) as caught:
        opened("pkcs11:object=odd")
    assert words in caught.value.message
    assert "keygen" not in str(caught.value.hint)


def test_the_mechanisms_that_a_key_allows_decide(session: Any, opened: Callable[..., HeldKey]) -> None:
    from pkcs11 import Attribute, Mechanism, attributes

    def allow(name: str, key_id: bytes, *mechanisms: Mechanism) -> None:
        made = b"".join(int(each).to_bytes(8, "little") for each in mechanisms)
        make_key(session, "RSA", name, key_id, ALLOWED_MECHANISMS=made)

    # python-pkcs11 has no way to write a list of mechanisms.
    attributes.ATTRIBUTE_TYPES[Attribute.ALLOWED_MECHANISMS] = (bytes, bytes)
    try:
        session = library().get_token(token_label="banno").open(rw=True)
        allow("pss", b"\x11", Mechanism.SHA256_RSA_PKCS_PSS)
        allow("raw", b"\x12", Mechanism.RSA_PKCS_PSS, Mechanism.RSA_PKCS)
        allow("none", b"\x13", Mechanism.RSA_PKCS_OAEP)
    finally:
        del attributes.ATTRIBUTE_TYPES[Attribute.ALLOWED_MECHANISMS]
    assert opened("pkcs11:object=pss").algorithms == ("PS256",)
    raw = opened("pkcs11:object=raw")
    assert raw.algorithms == ("PS256", "RS256")
    assert all(_signs(raw, alg) for alg in raw.algorithms)  # hashed here
    with pytest.raises(KeyLoadError, match="by none of PS256, RS256, ES256"):
        opened("pkcs11:object=none")


def test_a_key_that_may_leave_its_token_is_a_finding(session: Any, softhsm: SoftHsm, cli: Cli) -> None:
    make_key(session, "secp256r1", "free", b"\x07", EXTRACTABLE=True)
    words = ["doctor", "--offline", "--client-id", CLIENT_ID, "--private-key"]
    kept = cli(*words, EC)
    assert "the token 'banno', by /" in kept.stdout
    assert "signs, and keeps it" in " ".join(kept.stdout.split())
    free = cli(*words, "pkcs11:object=free")
    assert "can be taken out of its token (CKA_EXTRACTABLE is true)" in " ".join(free.stdout.split())
    assert "CKA_NEVER_EXTRACTABLE" not in free.stdout  # which follows from it


def test_a_key_that_could_be_read_out_once_is_a_finding(session: Any, opened: Callable[..., HeldKey]) -> None:
    from pkcs11 import Attribute

    private = make_key(session, "secp256r1", "once", b"\x07", SENSITIVE=False)[1]
    private[Attribute.SENSITIVE] = True
    [(message, _)] = opened("pkcs11:object=once").exits
    assert "could be read out of its token once (CKA_ALWAYS_SENSITIVE is false)" in message


def test_odd_attributes_are_none_and_a_token_that_goes_is_said() -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    from banno_creds.key_holders.pkcs11_token import attribute_mapper, attribute_of

    class Thing:
        def __init__(self, says: Exception) -> None:
            self.says = says

        def __getitem__(self, _: object) -> object:
            raise self.says

    label = pkcs11.Attribute.LABEL
    assert attribute_mapper().unpack_attributes(label, b"\xff a") == "\ufffd a"
    assert attribute_of(Thing(ValueError()), label) is None  # type: ignore[arg-type]
    assert attribute_of(Thing(pkcs11.AttributeTypeInvalid()), label) is None  # type: ignore[arg-type]
    for gone in (pkcs11.DeviceRemoved(), pkcs11.SessionHandleInvalid(), pkcs11.DeviceError()):
        with pytest.raises(type(gone)):
            attribute_of(Thing(gone), label)  # type: ignore[arg-type]


def test_a_key_that_wants_the_pin_each_time_gets_it(session: Any, opened: Callable[..., HeldKey]) -> None:
    make_key(session, "secp256r1", "careful", b"\x07", ALWAYS_AUTHENTICATE=True)
    key = opened("pkcs11:object=careful")
    assert _signs(key)
    assert _signs(key)


def test_a_pin_that_is_refused_at_a_signature_ends_the_session_and_is_tried_once(
    session: Any, opened: Callable[..., HeldKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    from banno_creds.key_holders.pkcs11_token import Pin, module_at

    make_key(session, "secp256r1", "careful", b"\x07", ALWAYS_AUTHENTICATE=True)
    key = opened("pkcs11:object=careful")
    assert _signs(key)
    with monkeypatch.context() as wrong:

        def get(pin: Any, _: object) -> str:
            pin._text = "at-a-signature-wrong"
            return "at-a-signature-wrong"

        wrong.setattr(Pin, "get", get)
        with pytest.raises(PassphraseError, match="the PIN of the token 'banno' is wrong"):
            _signs(key)
    # The signature was begun in the session: nothing else may go on in it.
    assert module_at(str(module())).sessions == {}
    with pytest.raises(PassphraseError, match="refused this PIN before"):
        _signs(key)


def test_a_token_that_wants_no_login_is_asked_without_a_pin(
    session: Any, softhsm: SoftHsm, opened: Callable[..., HeldKey]
) -> None:
    make_key(session, "secp256r1", "open", b"\x08", PRIVATE=False)
    forget()
    softhsm.set_flags(0, cleared=LOGIN_REQUIRED)
    with pytest.raises(KeyLoadError, match="has no private key"):
        opened("pkcs11:object=signing", pin=None)  # which nobody sees without a login
    assert _signs(opened("pkcs11:object=open", pin=None))


# --- PINs ---


def test_a_wrong_pin_is_never_tried_twice(
    softhsm: SoftHsm, opened: Callable[..., HeldKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    from banno_creds.key_holders import pkcs11_token

    tried: list[object] = []
    real = pkcs11_token.attempt_login

    def counted(token: Any, pin: object, *rest: Any) -> Any:
        tried.append(pin)
        return real(token, pin, *rest)

    monkeypatch.setattr(pkcs11_token, "attempt_login", counted)
    with pytest.raises(PassphraseError, match="the PIN of the token 'banno' is wrong") as caught:
        opened(pin=b"1234-wrong")
    assert "1234-wrong" not in str(caught.value) + repr(caught.value.hint)
    for pin in (b"1234-wrong", TypedSecret(b"1234-wrong")):
        with pytest.raises(PassphraseError, match="refused this PIN before"):
            opened(pin=pin)
    assert len(tried) == 1


def test_after_a_wrong_pin_only_a_person_may_try(
    softhsm: SoftHsm, process: Cli, opened: Callable[..., HeldKey]
) -> None:
    env = {**softhsm.variables, "BANNO_CREDS_PKCS11_PIN": "0000-wrong"}
    words = ["keygen", "--public-from", RSA, "--public-key", "-"]
    first = process(*words, env=env)
    assert first.code == 3
    assert "The PIN of the token 'banno' is wrong" in first.stderr
    # The right one, from a variable: nobody knows that it is right.
    second = process(*words, env={**env, "BANNO_CREDS_PKCS11_PIN": softhsm.pin})
    assert second.code == 3
    assert "was given a wrong PIN" in second.stderr
    assert "terminal" in second.stderr
    assert softhsm.pin not in second.stderr
    assert _signs(opened(pin=TypedSecret(softhsm.pin.encode())))
    third = process(*words, env={**env, "BANNO_CREDS_PKCS11_PIN": softhsm.pin})
    assert third.code == 0


@pytest.mark.parametrize(
    ("flags", "typed", "words"),
    [
        (LOW, False, "was given a wrong PIN (a few lock it)"),
        (LOW | LAST, False, "was given a wrong PIN (one more locks it)"),
        (LOW | LAST | LOCKED, False, "is locked"),
        (LOW | LAST | LOCKED, True, "is locked"),
    ],
)
def test_what_a_token_says_of_its_pin_is_heeded(
    softhsm: SoftHsm, opened: Callable[..., HeldKey], flags: int, typed: bool, words: str
) -> None:
    softhsm.set_flags(flags)
    pin = softhsm.pin.encode()
    with pytest.raises(PassphraseError) as caught:
        opened(pin=TypedSecret(pin) if typed else pin)
    assert words in caught.value.message
    assert caught.value.hint


def test_a_person_may_use_the_last_try(softhsm: SoftHsm, opened: Callable[..., HeldKey]) -> None:
    softhsm.set_flags(LOW | LAST)
    with pytest.raises(PassphraseError, match="is wrong; one wrong PIN more locks it"):
        opened(pin=TypedSecret(b"another wrong one"))
    assert _signs(opened(pin=TypedSecret(softhsm.pin.encode())))


def test_nobody_is_asked_for_a_pin_that_the_reader_takes(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pkcs11

    from banno_creds.key_holders import pkcs11_token

    softhsm.set_flags(0x100)  # CKF_PROTECTED_AUTHENTICATION_PATH
    given: list[object] = []

    def login(token: Any, pin: object, mapper: Any) -> Any:
        given.append(pin)
        return token.open(user_pin=softhsm.pin, attribute_mapper=mapper)

    def asked() -> bytes:
        raise AssertionError("somebody is asked")

    allowed: list[float | None] = []
    run = pkcs11_token.Module.run

    def timed(module: Module, work: Callable[[], Any], timeout: float | None) -> Any:
        allowed.append(timeout)
        return run(module, work, timeout)

    monkeypatch.setattr(pkcs11_token.Module, "run", timed)
    monkeypatch.setattr(pkcs11_token, "attempt_login", login)
    assert _signs(held_key.open_key(RSA, asked, 30))
    assert given == [pkcs11.types.PROTECTED_AUTH]
    assert allowed.count(None) == 1  # a person takes as long as it takes
    monkeypatch.setattr(pkcs11_token, "_modules", {})
    library().reinitialize()
    pin = write_private(tmp_path / "pin", softhsm.pin.encode())
    assert _signs(held_key.open_key(f"{RSA}?pin-source={pin}", asked, 30))
    assert given[1:] == [softhsm.pin]


@pytest.mark.parametrize("name", ["PinLocked", "PinExpired", "UserPinNotInitialized", "DeviceMemory"])
def test_what_a_login_says_is_said(
    softhsm: SoftHsm, opened: Callable[..., HeldKey], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import pkcs11

    from banno_creds.key_holders import pkcs11_token

    def fails(*_: object) -> None:
        raise getattr(pkcs11, name)

    monkeypatch.setattr(pkcs11_token, "attempt_login", fails)
    words = {
        "PinLocked": "is locked",
        "PinExpired": "has expired",
        "UserPinNotInitialized": "has no PIN yet",
        "DeviceMemory": "let nobody log in: DeviceMemory",
    }
    with pytest.raises(KeyLoadError) as caught:
        opened()
    assert words[name] in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize(("flags", "tries"), [(0, 4), (LOW, 1), (LOCKED, 1)])
def test_a_login_that_failed_is_tried_again_only_if_the_token_counted_no_wrong_pin(
    softhsm: SoftHsm,
    opened: Callable[..., HeldKey],
    monkeypatch: pytest.MonkeyPatch,
    flags: int,
    tries: int,
    typed: bool,
) -> None:
    import pkcs11

    from banno_creds.key_holders import pkcs11_token

    tried: list[object] = []

    def fails(_: object, pin: object, __: object) -> None:
        tried.append(pin)
        softhsm.set_flags(flags)
        raise pkcs11.GeneralError

    monkeypatch.setattr(pkcs11_token, "attempt_login", fails)
    words = {0: "failed: GeneralError", LOW: "was given a wrong PIN", LOCKED: "is locked"}
    pin = softhsm.pin.encode()
    with pytest.raises(KeyLoadError, match=words[flags]):
        opened(pin=TypedSecret(pin) if typed else pin)
    assert len(tried) == tries


def test_a_token_that_goes_while_somebody_logs_in_is_looked_for_again(
    opened: Callable[..., HeldKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pkcs11

    from banno_creds.key_holders import pkcs11_token

    real = pkcs11_token.attempt_login

    def goes(*_: object) -> None:
        monkeypatch.setattr(pkcs11_token, "attempt_login", real)
        raise pkcs11.DeviceRemoved

    monkeypatch.setattr(pkcs11_token, "attempt_login", goes)
    assert _signs(opened())


@pytest.mark.parametrize("pin", [None, b""])
def test_a_missing_pin_names_the_ways_to_give_one(opened: Callable[..., HeldKey], pin: bytes | None) -> None:
    with pytest.raises(PassphraseError, match="wants a PIN") as caught:
        opened(pin=pin)
    hint = str(caught.value.hint)
    assert all(name in hint for name in ("passphrase_file", "pin-source", "BANNO_CREDS_PKCS11_PIN", "terminal"))


def test_a_pin_that_is_no_text(opened: Callable[..., HeldKey]) -> None:
    with pytest.raises(PassphraseError, match="not text in UTF-8"):
        opened(pin=b"\xff\xfe")


def test_the_pin_may_be_in_a_file_that_the_uri_names(
    softhsm: SoftHsm, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BANNO_CREDS_PKCS11_PIN")
    file = write_private(tmp_path / "my pin", f"{softhsm.pin}\n".encode())
    uri = f"{RSA}?pin-source=file:{str(file).replace(' ', '%20')}"
    words = ["sign-jwt", "--client-id", CLIENT_ID, "--private-key", uri]
    assert cli(*words).code == 0
    file.chmod(0o644)
    monkeypatch.setattr("banno_creds.key_holders.pkcs11_token._modules", {})
    done = cli(*words)
    assert done.code == 0
    assert "Others can read" in done.stderr
    for content, what in ((b"", "is empty"), (b"a\nb\n", "more than one line")):
        file.write_bytes(content)
        monkeypatch.setattr("banno_creds.key_holders.pkcs11_token._modules", {})
        done = cli(*words)
        assert done.code == 3
        assert what in done.stderr
    file.unlink()
    monkeypatch.setattr("banno_creds.key_holders.pkcs11_token._modules", {})
    assert "No such file" in cli(*words).stderr


# --- modules ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"hello", "cannot be loaded as a PKCS #11 module"),
        (b"\x7fELF\x01\x01\x01" + bytes(200), "is for another processor or word size"),
    ],
)
def test_a_file_that_is_no_module_is_said(
    opened: Callable[..., HeldKey], tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "module.so"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(KeyLoadError) as caught:
        opened(f"{RSA}?module-path={file}")
    assert words in caught.value.message
    assert str(file) in caught.value.message


@pytest.mark.posix("modes")
def test_a_module_that_everybody_can_write_is_told_no_pin(opened: Callable[..., HeldKey], tmp_path: Path) -> None:
    file = tmp_path / "module.so"
    file.write_bytes(b"hello")
    file.chmod(0o666)
    with pytest.raises(KeyLoadError, match="everybody can write the PKCS #11 module") as caught:
        opened(f"{RSA}?module-path={file}")
    assert f"chmod o-w {file}" in str(caught.value.hint)


def test_a_library_that_is_no_module_is_said(opened: Callable[..., HeldKey]) -> None:
    import _ctypes

    with pytest.raises(KeyLoadError, match="cannot be loaded as a PKCS #11 module"):
        opened(f"{RSA}?module-path={_ctypes.__file__}")


def test_a_module_that_does_not_start_is_said(
    softhsm: SoftHsm, opened: Callable[..., HeldKey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "nothing.conf"))
    with pytest.raises(KeyLoadError) as caught:
        opened()
    assert str(module()) in str(caught.value)


def test_without_the_extra_the_command_that_installs_it_is_named(
    softhsm: SoftHsm, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith(("pkcs11", "banno_creds.key_holders.pkcs11"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    done = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", RSA)
    assert done.code == 3
    assert 'pip install "banno-creds[pkcs11]"' in done.stderr


# --- a new key ---


@pytest.mark.parametrize(("uri", "kind"), [(RSA, "RSA 2048"), (EC, "EC P-256")])
def test_a_key_is_made_beside_another_once(
    session: Any, softhsm: SoftHsm, opened: Callable[..., HeldKey], uri: str, kind: str
) -> None:
    from pkcs11 import Attribute

    def make() -> str:
        return held_key.make_key(uri, "banno 2027;ü", softhsm.pin.encode, 30)

    made = make()
    assert made.startswith("pkcs11:token=banno;object=banno%202027%3B%C3%BC;id=%")
    assert make() == made
    key = opened(made)
    assert key.description == kind
    assert key.exits == ()
    assert _signs(key)
    assert opened(uri).public.spki() != key.public.spki()
    [private] = session.get_objects({Attribute.LABEL: "banno 2027;ü", Attribute.SIGN: True})
    assert private[Attribute.SENSITIVE]
    assert not private[Attribute.EXTRACTABLE]
    assert not private[Attribute.DECRYPT]
    assert time.time() - 2 * 86400 < (key.created or 0) <= time.time()
    assert opened(uri).created is None
    with pytest.raises(KeyLoadError, match="called 'signing"):
        held_key.make_key(uri, "signing" if uri == RSA else "signing-ec", softhsm.pin.encode, 30)


def test_no_key_is_made_where_the_uri_would_then_name_two(
    session: Any, softhsm: SoftHsm, opened: Callable[..., HeldKey]
) -> None:
    from pkcs11 import Attribute

    [other] = [key for key in session.get_objects({Attribute.LABEL: "signing-ec"}) if hasattr(key, "sign")]
    other.destroy()
    key = opened("pkcs11:token=banno")
    with pytest.raises(KeyLoadError, match="beside a new key it would name two") as caught:
        held_key.make_key("pkcs11:token=banno", "another", softhsm.pin.encode, 30)
    named = str(caught.value.hint).partition("--private-key ")[2]
    assert named == "'pkcs11:token=banno;object=signing;id=%01'"
    assert opened(named.strip("'")).public == key.public
    assert opened("pkcs11:token=banno").public == key.public


def test_keys_of_other_labels_are_told_apart_by_them(opened: Callable[..., HeldKey]) -> None:
    with pytest.raises(KeyLoadError, match="names 2 private keys") as caught:
        opened("pkcs11:token=banno")  # as a shell leaves it that takes the ; for its own
    assert "object=signing" in str(caught.value.hint)
    assert "object=signing-ec" in str(caught.value.hint)


def test_a_new_key_may_take_longer_than_a_request(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    from banno_creds.key_holders.pkcs11_token import Module

    allowed, run = [], Module.run

    def timed(module: Module, work: Callable[[], Any], timeout: float | None) -> Any:
        allowed.append(timeout)
        return run(module, work, timeout)

    monkeypatch.setattr(Module, "run", timed)
    monkeypatch.setattr("banno_creds.key_holders.pkcs11._generate", lambda *_: None)
    held_key.make_key(EC, "slow", softhsm.pin.encode, 30)
    assert set(allowed) == {30, 300}
    assert allowed[-1] == 300


def test_a_new_key_whose_name_two_keys_have_is_none(session: Any, softhsm: SoftHsm) -> None:
    for key_id in (b"\x31", b"\x32"):
        make_key(session, "secp256r1", "double", key_id)
    with pytest.raises(KeyLoadError, match="the name 'double' names 2 private keys"):
        held_key.make_key(EC, "double", softhsm.pin.encode, 30)


def test_a_token_that_makes_no_key_says_so(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    import pkcs11

    from banno_creds.key_holders.pkcs11_token import module_at

    def refuses(*_: object) -> None:
        raise pkcs11.TokenWriteProtected

    monkeypatch.setattr("banno_creds.key_holders.pkcs11._generate", refuses)
    with pytest.raises(KeyLoadError, match="made no key: TokenWriteProtected") as caught:
        held_key.make_key(EC, "another", softhsm.pin.encode, 30)
    assert caught.value.hint
    assert module_at(str(module())).sessions == {}


def test_a_token_that_takes_no_date_makes_a_key_without_one() -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    from banno_creds.key_holders.pkcs11 import _generate

    made: list[object] = []

    class Session:
        def generate_keypair(self, kind: object, size: int, *, public_template: object, **_: object) -> None:
            if public_template:
                raise pkcs11.AttributeTypeInvalid
            made.append((kind, size))

        def close(self) -> None:
            made.append("closed")

    token: Any = SimpleNamespace(open=lambda **_: Session())
    _generate(token, 2048, b"label", b"id")
    assert made == [(pkcs11.KeyType.RSA, 2048), "closed"]


def test_garbage_on_a_token_is_no_public_half() -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    from banno_creds.key_holders.pkcs11 import _certified, _rsa_of

    of: Any = pkcs11.Attribute
    thing: Any = {of.VALUE: b"garbage", of.MODULUS: b"\1", of.PUBLIC_EXPONENT: b"\1"}
    assert _certified(thing) is None
    assert _rsa_of(thing) is None
