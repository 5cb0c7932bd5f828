"""Keys of AWS KMS: ``awskms:KEY-ID``, ``awskms:alias/NAME``, or ``awskms:`` and the ARN of a key or an alias.

Credentials, profiles and the region are the AWS SDK's own. Of the SDK, botocore is enough: boto3 above it takes a
tenth longer to import, and adds nothing here.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from banno_creds import threads
from banno_creds.errors import KeyLoadError, SigningError
from banno_creds.secrecy import Secret, harmless, looks_random
from banno_creds.text import printable
from banno_creds.threads import OutOfTimeError, no_fork

try:
    import botocore.session
    from botocore import exceptions as botocore_errors
    from botocore.config import Config
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] != "botocore":
        raise
    raise KeyLoadError(
        "a key of AWS KMS needs the AWS SDK, which is not installed",
        hint='pip install "banno-creds[aws]"',
    ) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ALGORITHMS = {
    "PS256": "RSASSA_PSS_SHA_256",
    "RS256": "RSASSA_PKCS1_V1_5_SHA_256",
    "ES256": "ECDSA_SHA_256",
}
_SPECS = ("RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256")
# A busy KMS (throttling) is asked again; all attempts share the time that a request may take.
_ATTEMPTS = 3
_PAUSES = 4  # seconds: those of the SDK between attempts, so that it tells of its own time-outs, in more words
_MOST_WORDS = 300
_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):([0-9]{12}):(?:key|alias)/.+")
_FORMS = "write awskms:alias/NAME, awskms:KEY-ID, or awskms: and an ARN"


def open_key(uri: str, *, passphrase: Callable[[], bytes | None], timeout: float) -> KmsKey:
    """Ask KMS for the public half of a key; see `protocol.OpenKey`."""
    del passphrase  # the SDK finds its credentials by itself
    kms = _Kms(uri, timeout)
    found = kms.public_half()
    algorithms = tuple(alg for alg, name in ALGORITHMS.items() if name in found.algorithms)
    return KmsKey(found.public_key, algorithms, found.arn, kms)


def make_key(uri: str, *, name: str, passphrase: Callable[[], bytes | None], timeout: float) -> str:
    """Make a key of the same type in the same region, with an alias; see `protocol.MakeKey`.

    The new key gets KMS's default policy, by which IAM policies of the account decide who may use it.
    """
    del passphrase
    kms = _Kms(uri, timeout, attempts=1)  # after a time-out, a second attempt would make a second key
    old = kms.public_half()
    alias = f"alias/{name}"
    arn = kms.find(alias)
    if arn is None:
        how = {"KeySpec": old.spec, "KeyUsage": "SIGN_VERIFY", "Description": f"banno-creds: {name}"}
        arn = kms.call("create_key", "KeyMetadata", **how)["KeyMetadata"]["Arn"]
        try:
            kms.call("create_alias", AliasName=alias, TargetKeyId=arn)
        except KeyLoadError as failure:
            named = None
            with suppress(KeyLoadError):
                named = kms.find(alias)  # another process may have been quicker
            if named is None:
                hint = f"aws kms create-alias --alias-name {alias} --target-key-id {arn}; then do this again"
                raise failure.but(hint=hint, more=[f"the new key has no alias yet: awskms:{arn}"]) from None
    # An ARN has the region in it, and so has the new URI then.
    return f"awskms:{arn.rpartition(':')[0]}:{alias}" if _ARN.fullmatch(kms.key_id) else f"awskms:{alias}"


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A key of KMS; see `protocol.SigningKey`."""

    public_key: bytes
    algorithms: tuple[str, ...]
    arn: str
    kms: _Kms = field(repr=False)

    def sign(self, alg: str, signing_input: bytes) -> bytes:
        """Have KMS sign the hash of the signing input: whole, it takes no more than 4096 bytes."""
        digest = hashlib.sha256(signing_input).digest()
        # By the ARN that came with the public half: an alias may belong to another key by now.
        how = {"MessageType": "DIGEST", "SigningAlgorithm": ALGORITHMS[alg]}
        signature: bytes = self.kms.call("sign", "Signature", KeyId=self.arn, Message=digest, **how)["Signature"]
        if alg == "ES256":
            # What is no DER is passed on as it is: it is said to be wrong where it is verified.
            with suppress(ValueError, OverflowError):
                return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))
        return signature


class _Found(NamedTuple):
    """What KMS says of a key that can be used here."""

    arn: str
    public_key: bytes
    spec: str
    algorithms: tuple[str, ...]


class _Kms:
    """A client of KMS for one key. It is its own: sessions of the SDK are not for several threads."""

    def __init__(self, uri: str, timeout: float, attempts: int = _ATTEMPTS) -> None:
        self.uri = uri
        self.key_id = uri.partition(":")[2]
        arn = _ARN.fullmatch(self.key_id)
        if not self.key_id or (arn is None and self.key_id.startswith(("arn:", "/"))):
            raise KeyLoadError(f"{uri} names no key of AWS KMS", hint=_FORMS)
        self._region = arn[1] if arn else None
        self._timeout, self._attempts = timeout, attempts
        with _quiet(), self._errors("open", KeyLoadError):
            self._connect()
            # Here, not while a request is timed: somebody may be asked for the code of a second factor.
            if self._credentials is not None:
                self._credentials.get_frozen_credentials()

    def _connect(self) -> None:
        """Make the client. A process that was forked needs its own: two cannot share a connection."""
        config = Config(
            connect_timeout=self._timeout / self._attempts,
            read_timeout=self._timeout / self._attempts,
            retries={"mode": "standard", "total_max_attempts": self._attempts},
        )
        session = botocore.session.get_session()
        # The SDKs for other languages read AWS_REGION, and this one does not.
        region = self._region or session.get_config_variable("region") or os.environ.get("AWS_REGION")
        if not region:
            raise botocore_errors.NoRegionError
        self._credentials = session.get_credentials()
        self._client = session.create_client("kms", region_name=region, config=config)
        self._process = os.getpid()

    def call(self, operation: str, *wanted: str, **members: object) -> dict[str, Any]:
        """Send one request, and return an answer that has all members that are wanted.

        Raises:
            KeyLoadError, SigningError: KMS refused it, or does not answer.
        """
        kind = SigningError if operation == "sign" else KeyLoadError
        with self._errors(operation, kind):
            answer: dict[str, Any] = self._answer(operation, members, kind)
        for missing in (each for each in wanted if not answer.get(each)):
            raise kind(
                f"what answers for AWS KMS gave no {missing} of {self.uri}",
                hint="look at AWS_ENDPOINT_URL_KMS and AWS_ENDPOINT_URL: they may name another server",
            )
        return answer

    def _answer(self, operation: str, members: Mapping[str, object], kind: type[KeyLoadError | SigningError]) -> Any:
        """Send one request within the timeout, which the SDK has for each piece of an answer, not for all of it."""
        ends = time.monotonic() + self._timeout + _PAUSES

        def ask() -> Any:
            with no_fork(), _quiet():  # the SDK's TLS does not go in steps
                if self._process != os.getpid():
                    self._connect()
                return getattr(self._client, operation)(**members)

        try:
            return threads.run(ask, lambda: ends - time.monotonic(), "banno-creds AWS KMS")
        except OutOfTimeError:
            words = f"no whole answer of AWS KMS for {self.uri} came within {self._timeout:g} s"
            raise kind(words, hint=_NETWORK) from None

    def public_half(self) -> _Found:
        """Return the key if it can sign for us."""
        answer = self.call("get_public_key", "KeySpec", "KeyUsage", "KeyId", "PublicKey", KeyId=self.key_id)
        spec, usage = (printable(answer[name], 60) for name in ("KeySpec", "KeyUsage"))
        if spec not in _SPECS or usage != "SIGN_VERIFY":
            raise KeyLoadError(
                f"{self.uri} is a key of the type {spec} for {usage}; the provider takes signatures of "
                "RSA (PS256, RS256) and EC P-256 (ES256)",
                hint="make one with: aws kms create-key --key-usage SIGN_VERIFY --key-spec RSA_2048",
            )
        return _Found(answer["KeyId"], answer["PublicKey"], spec, tuple(answer.get("SigningAlgorithms", ())))

    def find(self, alias: str) -> str | None:
        """Return the ARN of the key that has an alias; None if there is none."""
        try:
            arn: str = self.call("get_public_key", "KeyId", KeyId=alias)["KeyId"]
        except KeyLoadError as failure:
            said = failure.__context__
            if isinstance(said, botocore_errors.ClientError) and _code(said) == _MISSING:
                return None
            raise
        return arn

    @contextmanager
    def _errors(self, operation: str, kind: type[KeyLoadError | SigningError]) -> Iterator[None]:
        """Turn the SDK's errors into ours, with AWS's own code and words, and one next step."""
        try:
            yield
        except (botocore_errors.ClientError, botocore_errors.BotoCoreError) as failure:
            secrets = self._secrets()
            if isinstance(failure, botocore_errors.ClientError):
                said = printable(failure.response.get("Error", {}).get("Message") or "no words", _MOST_WORDS)
                message = f"AWS KMS did not {_DOING[operation]} {self.uri}: {_code(failure)}: {said}"
            else:
                message = f"the AWS SDK cannot ask for {self.uri}: {printable(_plain(failure), _MOST_WORDS)}"
            error = kind(message, hint=_hint(failure, operation).format(key=self.key_id))
            cause = failure if "(left out)" not in message else None
            raise error.without(secrets) from harmless(cause, secrets)

    def _secrets(self) -> list[Secret]:
        """Return what AWS repeats where it finds a signature wrong: the session's token is among what is signed."""
        held: list[str | None] = []
        with suppress(Exception):  # they may have to be renewed for that
            held += [self._credentials.secret_key, self._credentials.token]
        return [Secret(each, "the AWS credentials") for each in held if each]


_DOING = {
    "open": "open",
    "get_public_key": "give the public half of",
    "sign": "sign with",
    "create_key": "make a key beside",
    "create_alias": "name the key beside",
}
_MISSING = "NotFoundException"
_SIGN_IN = "sign in to AWS again, such as by: aws sso login; `aws sts get-caller-identity` shows if it worked"
_CREDENTIALS = "give AWS credentials: aws configure, aws sso login, or AWS_PROFILE"
_REGION = "set AWS_DEFAULT_REGION, or name the key by its ARN, which has the region in it"
_NETWORK = "look at the network, the proxy (HTTPS_PROXY) and the region"
_LATER = "try again in a moment"
_KIND_OF_KEY = "use an asymmetric key for SIGN_VERIFY: aws kms describe-key --key-id {key}"
_ALLOW = "allow kms:GetPublicKey and kms:Sign on this key, in an IAM policy or in the key's own"

# By AWS's code; what comes of STS, where a role is assumed, is about credentials.
_BY_CODE = {
    _MISSING: "look at the name, the account and the region; a name without a UUID is written awskms:alias/NAME",
    "AccessDeniedException": _ALLOW,
    "DisabledException": "enable it: aws kms enable-key --key-id {key}",
    "KMSInvalidStateException": "aws kms describe-key --key-id {key} shows its state; before a key is deleted, "
    "`aws kms cancel-key-deletion` and `enable-key` bring it back",
    "InvalidKeyUsageException": _KIND_OF_KEY,
    "UnsupportedOperationException": _KIND_OF_KEY,
    "InvalidArnException": _FORMS,
    "ValidationException": _FORMS,
    "InvalidAliasNameException": "give a name of letters, digits, - and _ that does not begin with aws/",
    "LimitExceededException": "have AWS raise the account's quota, or delete keys or aliases that nobody uses",
    **dict.fromkeys(("ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"), _LATER),
    **dict.fromkeys(("KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException"), _LATER),
    **dict.fromkeys(("ExpiredTokenException", "ExpiredToken", "RequestExpired"), _SIGN_IN),
    **dict.fromkeys(
        ("UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignature", "MissingAuthenticationToken"),
        _SIGN_IN,
    ),
    "InvalidSignatureException": "look at this machine's clock, and at the secret access key",
}
# The first that fits.
_BY_CLASS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((botocore_errors.NoRegionError, botocore_errors.InvalidRegionError), _REGION),
    ((botocore_errors.NoCredentialsError, botocore_errors.PartialCredentialsError), _CREDENTIALS),
    ((botocore_errors.ProfileNotFound,), "look at AWS_PROFILE; aws configure list-profiles shows what there is"),
    ((botocore_errors.SSOError, botocore_errors.LoginError, botocore_errors.TokenRetrievalError), _SIGN_IN),
    ((botocore_errors.CredentialRetrievalError, botocore_errors.MetadataRetrievalError), _SIGN_IN),
    ((botocore_errors.SSLError,), "have AWS_CA_BUNDLE name the file with the CA certificates of your network"),
    ((botocore_errors.ConnectionError, botocore_errors.HTTPClientError), _NETWORK),
    ((botocore_errors.ParamValidationError,), _FORMS),
)


def _plain(failure: Exception) -> str:
    """Return what the SDK says without what may be credentials: it repeats the words of a ``credential_process``."""
    return " ".join("(left out)" if looks_random(word) else word for word in printable(failure, 4000).split())


def _code(failure: botocore_errors.ClientError) -> str:
    """Return AWS's code of an error."""
    return printable(failure.response.get("Error", {}).get("Code", "no code"), 60)


def _hint(failure: Exception, operation: str) -> str:
    """Return the next step after an error of the SDK."""
    if not isinstance(failure, botocore_errors.ClientError):
        found = (hint for classes, hint in _BY_CLASS if isinstance(failure, classes))
        return next(found, "look at the AWS settings: aws configure list")
    code = _code(failure)
    asked = failure.operation_name.lower()
    if asked != operation.replace("_", "") and code not in ("ExpiredTokenException", "ExpiredToken"):
        return f"look at the role and the credentials in the AWS profile: {failure.operation_name} is refused"
    if code == "AccessDeniedException" and operation.startswith("create"):
        return "allow kms:CreateKey, and kms:CreateAlias for the key and the alias"
    if code in _BY_CODE:
        return _BY_CODE[code]
    status = failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _LATER if status >= 500 else "look the code up in the reference of the AWS KMS API"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what botocore logs in this thread out of a program's log: for debugging, it logs the session's token."""
    # The filter stays: to take it away while another thread goes through a logger's filters would hide one from it.
    for name, each in logging.root.manager.loggerDict.copy().items():
        if name.startswith("botocore") and isinstance(each, logging.Logger):
            each.addFilter(_is_heard)
    before, _asking.now = getattr(_asking, "now", False), True
    try:
        yield
    finally:
        _asking.now = before


_asking = threading.local()


def _is_heard(_: logging.LogRecord) -> bool:
    """Let a record pass if this thread is not asking KMS; botocore logs in the thread that asks."""
    return not getattr(_asking, "now", False)
