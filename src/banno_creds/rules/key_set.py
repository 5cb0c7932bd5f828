"""Judge a JWK Set that you publish, before a provider fetches it: each key, and the set around them.

A fault fails if node-oidc-provider, which the vendor's server appears to be, does not use the key for it; one such as
a private member makes it refuse the whole set. What only stricter readers refuse is a warning.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.client_authentication.signer import ALGORITHMS
from banno_creds.jose import der
from banno_creds.jose.encoding import base64url_decode, parse_json
from banno_creds.jose.jwks import public_key_of
from banno_creds.jose.key_set import private_members, thumbprint_of
from banno_creds.jose.keys import LEAST_RSA_BITS, PublicKey
from banno_creds.jose.public_keys import read_public_keys
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.outcomes import Outcome, failed, judged, odd, passed, unknown
from banno_creds.rules.shown import shown
from banno_creds.text import printable, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_KEYS = 100
"""More keys than any real set has; other programs read no more than these, too."""
MOST_BYTES = 50 * 1024
"""What common libraries read of a set: Nimbus, by which Java's servers verify, has this limit."""

_MARK = b"\xef\xbb\xbf"
_NONE = object()
# The members that a JWK of a type must have, for node-oidc-provider not to refuse the whole set.
_REQUIRED = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "AKP": ("alg", "pub")}
_PRIVATE = {
    **dict.fromkeys(("EC", "OKP"), ("d",)),
    "RSA": ("d", "p", "q", "dp", "dq", "qi", "oth"),
    "AKP": ("priv",),
}
_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519", "X25519")}
_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}
_BUILD = "write it anew: banno-creds jwks build KEY"
_WHOLE = "the provider refuses the whole set"
_LARGER = f"take it out of the set, and sign with a key of {LEAST_RSA_BITS} bits or more: banno-creds keygen"
_TAKES = f"RSA of {LEAST_RSA_BITS} bits or more, or EC P-256"


class PublishedKey(NamedTuple):
    """One key of a set, as it was judged.

    Attributes:
        name: how findings call it, such as ``key 2``.
        kid: its key ID; None if it has none that is a text.
        description: its type and size, or what it is.
        thumbprint: its thumbprint (RFC 7638); None if members are missing.
        usable: whether the provider verifies assertions by it.
        findings: what was found, without the passes.
        ignored: why the provider passes it over, which is no fault; empty if it does not.
    """

    name: str
    kid: str | None
    description: str
    thumbprint: str | None
    usable: bool
    findings: tuple[Finding, ...]
    ignored: str = ""


class JudgedSet(NamedTuple):
    """A set, and all that was found about it; ``is_unreadable`` says that it is no set at all."""

    origin: str
    keys: tuple[PublishedKey, ...]
    findings: tuple[Finding, ...]
    is_unreadable: bool = False

    @property
    def leaks(self) -> bool:
        """Whether a private or symmetric key is in it."""
        return any(finding.rule == Rule.REGISTRATION_PRIVATE_KEY for finding in self.findings)


def judge_key_set(content: bytes, origin: str) -> JudgedSet:
    """Judge a JWK Set as it was published.

    Args:
        content: the bytes of the file, or of the server's answer.
        origin: its file or URL, as messages name it.
    """
    findings = list(_judge_text(content))
    members = _members(content)
    if not isinstance(members, dict) or not isinstance(members.get("keys"), list):
        return JudgedSet(origin, (), tuple(findings), is_unreadable=True)
    entries = members["keys"]
    keys = tuple(judge_jwk(jwk, f"key {number}") for number, jwk in enumerate(entries[:MOST_KEYS], 1))
    findings += [finding for key in keys for finding in _with_verdicts(key, keys)]
    findings += _judge_all(keys, len(entries), len(content))
    return JudgedSet(origin, keys, tuple(findings))


def faults_beside(content: bytes) -> tuple[Finding, ...]:
    """Return the faults of a registered JWK Set that `registration` does not look for; of what is none, nothing."""
    found = [finding for finding in judge_key_set(content, "").findings if finding.verdict is not Verdict.PASS]
    firsts = {finding.rule: finding for finding in reversed(found) if finding.rule in _BESIDE}
    return tuple(
        finding._replace(looks_at="registered key", received=f"{finding.looks_at} has {finding.received}")
        for finding in firsts.values()
    )


_BESIDE = (Rule.JWKS_KEY_MALFORMED, Rule.JWKS_KEY_REPEATED, Rule.JWKS_X5C)


def judge_presence(judged_set: JudgedSet, key: PublicKey, place: str, name: str = "your key") -> tuple[Finding, ...]:
    """Judge if a key is in a set, and if its ``kid`` there is the one that banno-creds sends.

    Args:
        judged_set: the set.
        key: the key.
        place: the key's file or URI.
        name: how findings call the key.
    """
    if judged_set.is_unreadable:
        outcome = unknown("the set cannot be read")
        return (judged(Rule.REGISTRATION_KEY_MISMATCH, name, outcome),)
    thumbprint = key.thumbprint()
    found = [each for each in judged_set.keys if each.thumbprint == thumbprint]
    if not found:
        outcome = failed(
            f"{place}, {key.description}, thumbprint {thumbprint}, is not in it",
            "this key in the set",
            "add it (banno-creds jwks add FILE KEY), publish the set, and wait until no cache keeps the old one",
        )
        return (judged(Rule.REGISTRATION_KEY_MISMATCH, name, outcome),)
    one = next((each for each in found if each.usable), found[0])
    facts = f"{place} is {one.name}, {key.description}"
    if not one.usable:
        outcome = failed(
            f"{facts}, which the provider cannot use", "a key in the set that it can use", "see its fault"
        )
        return (judged(Rule.REGISTRATION_KEY_MISMATCH, name, outcome),)
    findings = [judged(Rule.REGISTRATION_KEY_MISMATCH, name, passed(facts))]
    if one.kid is not None and one.kid != thumbprint:
        outcome = odd(
            f"{facts}, has the kid {shown(one.kid)}",
            f"its thumbprint {thumbprint}, which banno-creds sends with registration jwks-uri",
            f"send the set's kid, by {setting('kid')}; or give the key its thumbprint for a kid in the set",
        )
        findings.append(judged(Rule.KID_UNKNOWN, name, outcome))
    return tuple(findings)


# --- The text -------------------------------------------------------------------------------------------------------


def _judge_text(content: bytes) -> Iterator[Finding]:
    """Judge if a text is a JWK Set to every reader of JSON."""
    faults = list(_faults_of_text(content))
    for outcome in faults:
        yield judged(Rule.JWKS_MALFORMED, "set", outcome)
    if not faults:
        yield judged(Rule.JWKS_MALFORMED, "set", passed("a JWK Set"))


def _faults_of_text(content: bytes) -> Iterator[Outcome]:
    if content.startswith(_MARK):
        fix = "save the file as UTF-8 without a byte order mark (BOM)"
        yield failed("a byte order mark before the JSON", "JSON from the first byte on (RFC 8259 section 8.1)", fix)
    text, members = _text(content), _members(content)
    if "\0" in text or ("\ufffd" in text and not _is_utf8(content)):
        encoding = "UTF-16" if "\0" in text else "bytes of another encoding"
        fix = "save it as UTF-8; in PowerShell: -Encoding utf8"
        yield (failed if members is _NONE else odd)(f"{encoding}, which is not UTF-8", "JSON in UTF-8", fix)
        return
    if members is _NONE:
        yield _no_json(text)
        return
    if (fault := _strictly(text)) is not None:
        repeats = "more than once" in fault
        yield (odd if repeats else failed)(
            fault, "JSON that all readers understand alike", "take the one that is wrong out" if repeats else _BUILD
        )
    if not isinstance(members, dict):
        yield failed("JSON, but no object", 'an object with the member "keys"', _BUILD)
    elif "keys" not in members and "kty" in members:
        yield failed("one JWK", 'a JWK Set: {"keys": [ the JWK ]}', "put the JWK into an array, the member keys")
    elif "keys" not in members:
        yield failed(
            f"no member keys, but {shown(sorted(members))}", 'the member "keys" with an array of JWKs', _BUILD
        )
    elif not isinstance(members["keys"], list):
        yield failed(f"keys that are {shown(members['keys'])}", "an array of JWKs", "put the JWK into an array")


def _text(content: bytes) -> str:
    return content.removeprefix(_MARK).decode("utf-8", "replace")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _members(content: bytes) -> Any:
    """Return what JSON.parse in JavaScript would; _NONE if it is no JSON."""
    try:
        return json.loads(_text(content), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NONE


def _refuse(name: str) -> None:
    raise ValueError(name)


def _strictly(text: str) -> str | None:
    try:
        parse_json(text)
    except ValueError as failure:
        return str(failure).removeprefix("it ").removeprefix("has ").removeprefix("is ")
    return None


def _no_json(text: str) -> Outcome:
    """Say what is there instead of JSON."""
    expected = "JSON"
    begin = text.lstrip()[:40]
    if not begin:
        return failed("nothing at all", expected, _BUILD)
    if begin.startswith("<"):
        return failed("HTML or XML", expected, "check the address: a page for people is there")
    if begin.startswith("-----"):
        return failed("a key or certificate in PEM", "a JWK Set", _BUILD)
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        where = f"at line {fault.lineno}, column {fault.colno}"
        before, after = text[: fault.pos].rstrip(), text[fault.pos :].lstrip()
        if (before.endswith(",") and after[:1] in ("}", "]")) or re.match(r",\s*[}\]]", after):
            return failed(f"a comma after the last member, {where}", expected, "take that comma out")
        words = f"{fault.msg[0].lower()}{fault.msg[1:].removesuffix(' at')}"
        return failed(f"no JSON: {words}, {where}", expected, _BUILD)
    except (ValueError, RecursionError):
        return failed("JSON nested too deeply", "an array of JWKs in an object", _BUILD)
    return failed("no JSON: NaN or Infinity", expected, _BUILD)


# --- One key --------------------------------------------------------------------------------------------------------


def judge_jwk(jwk: object, name: str) -> PublishedKey:
    """Judge one key of a set; findings call it ``name``."""
    if not isinstance(jwk, dict):
        outcome = failed(f"{shown(jwk)}, and {_WHOLE}", "a JWK, which is an object", "take it out of keys")
        finding = judged(Rule.JWKS_KEY_MALFORMED, name, outcome)
        return PublishedKey(name, None, shown(jwk), None, usable=False, findings=(finding,))
    native = public_key_of(jwk)
    kid = jwk.get("kid") if isinstance(jwk.get("kid"), str) else None
    named = "" if kid is None else f", kid {shown(kid)}"
    findings = [
        judged(rule, name, outcome._replace(received=outcome.received + named))
        for rule, outcome in _faults_of_jwk(jwk, native)
    ]
    ignored = "" if findings else _ignored(jwk)
    usable = not ignored and all(finding.verdict is not Verdict.FAIL for finding in findings)
    return PublishedKey(name, kid, _described(jwk, native), thumbprint_of(jwk), usable, tuple(findings), ignored)


def _faults_of_jwk(jwk: Mapping[str, Any], native: object) -> Iterator[tuple[Rule, Outcome]]:
    """Yield the faults of a JWK; one that fails and concerns its form is the last."""
    private = private_members(jwk)
    if private or jwk.get("kty") == "oct":
        yield Rule.REGISTRATION_PRIVATE_KEY, _leaked(jwk, private)
        return
    if (fault := _fault_of_form(jwk)) is not None:
        yield Rule.JWKS_KEY_MALFORMED, fault
        return
    if _ignored(jwk):
        return
    numbers = list(_faults_of_numbers(jwk, native))
    yield from ((Rule.JWKS_KEY_MALFORMED, outcome) for outcome in numbers)
    bits = getattr(native, "key_size", 0) if jwk["kty"] == "RSA" else 0
    if 0 < bits < LEAST_RSA_BITS:  # one that is too large to be used is none here
        yield Rule.REGISTRATION_KEY_SIZE, failed(f"RSA with {bits} bits", _TAKES, _LARGER)
    yield from ((Rule.REGISTRATION_KEY_TYPE, outcome) for outcome in _faults_of_purpose(jwk))
    if "x5c" in jwk and native is not None and (outcome := _fault_of_certificate(jwk["x5c"], native)) is not None:
        yield Rule.JWKS_X5C, outcome


def _leaked(jwk: Mapping[str, Any], private: Sequence[str]) -> Outcome:
    received = f"THIS KEY IS LEAKED: the private member{'s' * (len(private) > 1)} {', '.join(private)} (not shown)"
    if jwk.get("kty") == "oct":
        received = "THIS KEY IS LEAKED: a symmetric key, which is a secret as a whole (not shown)"
    return failed(
        received,
        f"public members alone; {_WHOLE}",
        "replace this key now: everybody who fetched the set can sign as you; to remove it is not enough",
    )


def _fault_of_form(jwk: Mapping[str, Any]) -> Outcome | None:
    """Return the fault for which a provider refuses the whole set; None if there is none."""
    kty = jwk.get("kty")
    if not isinstance(kty, str) or not kty:
        return failed(f"kty {shown(kty)}" if "kty" in jwk else "no kty", f"the type of the key; {_WHOLE}", _BUILD)
    if kty not in _REQUIRED:
        return None
    crv = jwk.get("crv")
    if isinstance(crv, str) and crv and kty in _CURVES and crv not in _CURVES[kty]:
        return None  # which is ignored before anything else is looked at
    missing = [name for name in _REQUIRED[kty] if not isinstance(jwk.get(name), str) or not jwk[name]]
    if missing:
        alone = " and" if "x5c" not in jwk else ", a certificate (x5c) alone, and"
        wrong = [f"{name} {shown(jwk[name])}" for name in missing if name in jwk]
        received = ", ".join(wrong) if wrong else f"no {' and '.join(missing)}"
        needs = f"{' and '.join(missing)} as text in base64url"
        return failed(f"{received}{alone} {_WHOLE}", needs, _BUILD)
    empty = [name for name in _PRIVATE[kty] if name in jwk]  # such as null, which .NET writes
    wrong = empty + [name for name in ("alg", "kid", "use") if name in jwk and not _is_text(jwk[name])]
    if wrong:
        name = wrong[0]
        expected = "no such member" if name in empty else f"{name} as a text that is not empty, or no such member"
        return failed(f"{name} {shown(jwk[name])}, and {_WHOLE}", expected, f"correct {name}, or leave it out")
    x5c = jwk.get("x5c", [])
    if not isinstance(x5c, list) or not all(map(_is_text, x5c)):
        return failed(f"x5c {shown(x5c)}, and {_WHOLE}", "an array of certificates in base64", "leave x5c out")
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _ignored(jwk: Mapping[str, Any]) -> str:
    """Return why a provider that verifies by PS256, RS256 and ES256 passes a key over; empty if it does not."""
    kty, crv = jwk.get("kty"), jwk.get("crv")
    if kty == "EC" and crv != "P-256":
        return f"on the curve {printable(crv, 40)}"
    if kty not in ("RSA", "EC"):
        return f"of the type {printable(kty, 40)}" + (f", {printable(crv, 40)}" if isinstance(crv, str) else "")
    return "for encryption (use enc)" if jwk.get("use") == "enc" else ""


def _faults_of_numbers(jwk: Mapping[str, Any], native: object) -> Iterator[Outcome]:
    """Judge the numbers of an RSA key, or the point of an EC key."""
    for name in ("n", "e") if jwk["kty"] == "RSA" else ("x", "y"):
        value = jwk[name]
        try:
            number = base64url_decode(value)
        except ValueError as fault:
            plain = "".join(value.split()).rstrip("=").translate({ord("+"): "-", ord("/"): "_"})
            if native is None:
                yield failed(f"{name} that is no base64url: {fault}", "base64url (RFC 7515 section 2)", _BUILD)
                return
            words = "padding (=)" if plain == value.rstrip("=") else "white space, + or /"
            yield odd(f"{name} with {words} in it", "base64url without padding (RFC 7515 section 2)", _BUILD)
            continue
        size = _BYTES.get(str(jwk.get("crv")), 0) if name in ("x", "y") else 0
        if size and len(number) != size:
            expected = f"{size} bytes, with zeros in front if need be (RFC 7518 section 6.2.1.2)"
            yield odd(f"{name} of {len(number)} bytes", expected, _BUILD)
        elif not size and number[:1] == b"\0":
            yield odd(f"{name} with a zero byte in front", "the fewest bytes (RFC 7518 section 6.3.1)", _BUILD)
    if native is None:
        yield _no_key(jwk)


def _no_key(jwk: Mapping[str, Any]) -> Outcome:
    """Say why well-formed numbers make no key."""
    if jwk["kty"] == "EC":
        return failed("a point that is not on the curve P-256", "x and y of a public key", _BUILD)
    n, e = (int.from_bytes(base64url_decode("".join(jwk[name].split()).rstrip("="))) for name in ("n", "e"))
    if e < 3 or e % 2 == 0:
        said = f"the public exponent {e}" if e < 1 << 64 else "an even public exponent"
        return failed(
            f"{said}: nobody can verify by it, or anybody can sign", "an odd exponent, such as 65537", _BUILD
        )
    return failed(f"an RSA modulus of {n.bit_length()} bits that makes no key", _TAKES, _BUILD)


def _faults_of_purpose(jwk: Mapping[str, Any]) -> Iterator[Outcome]:
    """Judge what a key is for, by ``use``, ``key_ops`` and ``alg`` (RFC 7517 section 4)."""
    use, alg, kty = jwk.get("use"), jwk.get("alg"), jwk["kty"]
    if use not in (None, "sig"):
        yield failed(f"use {shown(use)}", 'use "sig", or none', "write use as sig")
    fitting = ALGORITHMS[kty]
    if alg is not None and alg not in fitting:
        key = f"an {kty} key"
        yield failed(f"alg {shown(alg)} on {key}", f"{' or '.join(fitting)}, or none", "correct alg, or leave it out")
    operations = jwk.get("key_ops", ["verify"])
    is_array = isinstance(operations, list) and all(isinstance(each, str) for each in operations)
    if not is_array or set(operations) != {"verify"} or len(operations) > 1:
        # JavaScript's libraries refuse a public key that is to sign, and what is no array of different texts.
        fix = "leave key_ops out of the JWK: use says the same"
        yield failed(f"key_ops {shown(operations)}", 'key_ops ["verify"], or none', fix)


def _fault_of_certificate(x5c: list[str], native: object) -> Outcome | None:
    """Judge if the first certificate is that of the key (RFC 7517 section 4.7)."""
    expected, fix = "a first certificate for this very key, in base64", "leave x5c out, or put the key's own there"
    if not x5c:
        return odd("an empty x5c", expected, fix)
    try:
        data = b64decode("".join(x5c[0].split()), validate=True)
        found = read_public_keys(data).found if der.kind_of(data) == der.CERTIFICATE else ()
    except ValueError:
        found = ()
    if len(found) != 1 or found[0].native is None:
        return odd("x5c that holds no certificate that can be read", expected, fix)
    return None if found[0].native == native else odd("a certificate (x5c) of another key", expected, fix)


def _described(jwk: Mapping[str, Any], native: object) -> str:
    kty = jwk.get("kty")
    if kty == "RSA" and native is not None:
        return f"RSA {getattr(native, 'key_size', '')}"
    return " ".join(printable(each, 40) for each in (kty, jwk.get("crv")) if isinstance(each, str)) or "no key"


# --- All keys -------------------------------------------------------------------------------------------------------


def _with_verdicts(key: PublishedKey, keys: Sequence[PublishedKey]) -> Iterator[Finding]:
    """Yield a key's findings: that it is passed over, or has a fault of its own, fails only if no key is left."""
    of_its_own = (Rule.REGISTRATION_KEY_TYPE, Rule.REGISTRATION_KEY_SIZE)
    for finding in key.findings:
        spared = finding.rule in of_its_own and any(each.usable for each in keys)
        yield finding._replace(verdict=Verdict.WARN) if spared else finding
    facts = [key.description, f"kid {shown(key.kid)}" if key.kid is not None else "no kid"]
    if key.ignored:
        facts = [f"a key {key.ignored}: the provider passes it over"]
    if not key.findings:
        yield judged(Rule.REGISTRATION_KEY_TYPE, key.name, passed(" · ".join(facts)))


def _judge_all(keys: Sequence[PublishedKey], count: int, size: int) -> Iterator[Finding]:
    """Judge the keys together."""
    usable = [key for key in keys if key.usable]
    if not keys:
        outcome = failed(
            "no key at all", "one key at least", "add the key that you sign with: banno-creds jwks add FILE KEY"
        )
        yield judged(Rule.JWKS_EMPTY, "keys", outcome)
    elif not usable:
        outcome = failed(f"{_counted(len(keys))}, none of which can verify an assertion", _TAKES)
        yield judged(Rule.JWKS_EMPTY, "keys", outcome)
    names = [key.name for key in usable if key.kid is None]
    if names:
        outcome = odd(
            f"{', '.join(names[:8])} without a kid", "a kid for each key, such as its thumbprint (RFC 7638)"
        )
        yield judged(Rule.JWKS_KID_MISSING, "kid", outcome)
    kids = [key.kid for key in keys if key.kid is not None and not key.ignored]
    if repeated := sorted({kid for kid in kids if kids.count(kid) > 1}):
        outcome = odd(f"{shown(repeated)} more than once", "a kid of its own for each key (RFC 7517 section 4.5)")
        yield judged(Rule.REGISTRATION_KID_REPEATED, "kid", outcome)
    prints = [key.thumbprint for key in keys if key.thumbprint is not None]
    for twice in sorted({each for each in prints if prints.count(each) > 1}):
        same = [key for key in keys if key.thumbprint == twice]
        received = f"one key as {' and '.join(key.name for key in same[:8])}"
        yield judged(Rule.JWKS_KEY_REPEATED, "keys", odd(received, "each key once"))
    if count > MOST_KEYS:
        yield judged(Rule.JWKS_SIZE, "size", odd(f"{count:,} keys", f"at most {MOST_KEYS}"))
    if size > MOST_BYTES:
        yield judged(Rule.JWKS_SIZE, "size", odd(f"{size / 1024:,.0f} KiB", f"at most {MOST_BYTES // 1024} KiB"))
    elif keys:
        yield judged(Rule.JWKS_SIZE, "size", passed(f"{_counted(count)}, {size:,} bytes"))


def _counted(count: int) -> str:
    return "1 key" if count == 1 else f"{count:,} keys"
