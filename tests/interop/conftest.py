"""The real `oidc-provider` from npm: one process for a test session, a client for each kind of registration.

Beside it two providers that Debian has, in `glewlwyd.py` and `lemonldap.py`, for what differs there.

The server is `provider.mjs`. It is told its clients on standard input, and writes a JSON line for each token
request, with the true reason of a refusal, which the client is never told.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.needs import GLEWLWYD, LEMONLDAP
from tests.person import Person, free_port, new_people
from tests.servers.files import FileServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.needs import Need

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

HERE = Path(__file__).parent
REQUIRE_INTEROP = "BANNO_CREDS_REQUIRE_INTEROP"
# The tests that need another provider than oidc-provider.
DEBIAN = {"test_glewlwyd": GLEWLWYD, "test_lemonldap": LEMONLDAP}
ALGORITHMS = ("RS256", "PS256", "ES256")
# What an administrator can register: a PEM (the server then knows one key, without a name), or a JWKS URI.
REGISTRATION_NAMES = tuple(f"{alg}-{form}" for alg in ALGORITHMS for form in ("pem", "jwks-uri"))
GRANTED_SCOPES = ("openid", "https://jackhenry.com/consumer-user-search")
# Known to the server, granted to no client here: a request for it is refused as invalid_scope.
REFUSED_SCOPE = "full"
INSTITUTION_ID = "3f85ce95-7d5c-4b54-9b9c-6f3d1f6c2a10"
# Also covers a machine on which every core is busy with other tests.
START_TIMEOUT = 30.0


# --- whether to run at all ---


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the tests in this folder, and why."""

    action: Literal["run", "skip", "fail"]
    reason: str = ""


def decide(missing: str | None, *, required: bool) -> Decision:
    """A missing server skips its tests, unless somebody relies on their having run."""
    if missing is None:
        return Decision("run")
    if required:
        return Decision("fail", f"{missing} ({REQUIRE_INTEROP}=1 forbids skipping)")
    return Decision("skip", missing)


def oidc_provider_missing(*, node: str | None, package_installed: bool) -> str | None:
    if node is None:
        return "Node.js is not installed: install it, then run `make interop`"
    if not package_installed:
        return "oidc-provider is not installed under tests/interop: run `make interop`"
    return None


def debian_missing(need: Need) -> str | None:
    return None if need.is_here() else f"{need.skipped} is not installed (Debian: apt-get install {need.package})"


def missing_here(module: Path) -> str | None:
    """What the tests of a module lack on this machine."""
    if module.stem in DEBIAN:
        return debian_missing(DEBIAN[module.stem])
    return oidc_provider_missing(
        node=shutil.which("node"),
        package_installed=(HERE / "node_modules" / "oidc-provider" / "package.json").is_file(),
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # pytest hands every item of the session to this hook, those of other folders too.
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.interop)
            item.add_marker(pytest.mark.once)
            item.add_marker(pytest.mark.posix("the providers are programs of Linux"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    # After pytest's own marks, and before any fixture: without its program there is nothing they could start.
    skip_without(missing_here(item.path))


def skip_without(missing: str | None) -> None:
    """End a test whose program is missing here, as `decide` says."""
    decision = decide(missing, required=os.environ.get(REQUIRE_INTEROP) == "1")
    if decision.action == "skip":
        pytest.skip(decision.reason)
    if decision.action == "fail":
        pytest.fail(decision.reason, pytrace=False)


# --- keys and registrations ---


@dataclass(frozen=True, slots=True)
class Registration:
    """A client as its integrator knows it.

    `kid` is None where the server was given keys without a name. `registered_path` has what the server was given.
    `second` is the other key of a JWK Set that has two.
    """

    client_id: str
    alg: str
    kid: str | None
    private_key_path: Path
    registered_path: Path
    jwks_uri: str | None = None
    second: SecondKey | None = None


@dataclass(frozen=True, slots=True)
class SecondKey:
    alg: str
    kid: str | None
    private_key_path: Path


@dataclass(frozen=True, slots=True)
class Form:
    """What an administrator registers: `alg` is pinned for the client unless the metadata says otherwise."""

    alg: str
    form: Literal["pem", "jwks", "jwks-uri", "jwks-uri-without-kid"]
    second_alg: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)  # None takes a member away
    jwk: Mapping[str, object] = field(default_factory=dict)  # further members of each key


FORMS: Mapping[str, Form] = {
    **{f"{alg}-pem": Form(alg, "pem") for alg in ALGORITHMS},
    **{f"{alg}-jwks-uri": Form(alg, "jwks-uri") for alg in ALGORITHMS},
    **{f"{alg}-jwks": Form(alg, "jwks") for alg in ALGORITHMS},
    **{f"{alg}-jwks-uri-without-kid": Form(alg, "jwks-uri-without-kid") for alg in ALGORITHMS},
    "any-alg-rsa": Form("PS256", "pem", metadata={"token_endpoint_auth_signing_alg": None}),
    "any-alg-ec": Form("ES256", "pem", metadata={"token_endpoint_auth_signing_alg": None}),
    "two-rsa-keys": Form("PS256", "jwks-uri", "PS256"),
    "rsa-and-ec-keys": Form("PS256", "jwks-uri", "ES256", {"token_endpoint_auth_signing_alg": None}),
    "two-keys-without-kid": Form("PS256", "jwks-uri-without-kid", "PS256"),
    "client-secret": Form(
        "PS256",
        "pem",
        metadata={
            "token_endpoint_auth_method": "client_secret_basic",
            "token_endpoint_auth_signing_alg": None,
            "client_secret": "of the other kind of application",
        },
    ),
    "no-client-credentials": Form(
        "PS256",
        "pem",
        metadata={
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "redirect_uris": ["https://localhost:8080/auth/cb"],
        },
    ),
    "key-ops-without-verify": Form("PS256", "jwks", jwk={"key_ops": ["sign"]}),
    "openid-only": Form("PS256", "pem", metadata={"scope": "openid"}),
}


def new_private_key(alg: str) -> PrivateKey:
    if alg == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key_maker() -> Callable[[str, str, int], PrivateKey]:
    """What makes the keys of one server's clients, by registration, alg and place among the client's keys.

    Making an RSA key takes long, and a client is looked up by its ID: only those that stand for each algorithm and
    form have keys that no other has.
    """

    @cache
    def make(owner: str, alg: str, place: int) -> PrivateKey:
        return new_private_key(alg)

    def make_key(name: str, alg: str, place: int) -> PrivateKey:
        own = name in REGISTRATION_NAMES
        return make(name if own else "", alg if own or alg == "ES256" else "any RSA", place)

    return make_key


def write_private_key(path: Path, key: PrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_jwk(key: PrivateKey) -> dict[str, str]:
    """The members RFC 7638 §3.2 requires, and no other. Written out: our package is what is under test."""
    if isinstance(key, rsa.RSAPrivateKey):
        rsa_numbers = key.public_key().public_numbers()
        n, e = (number.to_bytes((number.bit_length() + 7) // 8) for number in (rsa_numbers.n, rsa_numbers.e))
        return {"e": base64url(e), "kty": "RSA", "n": base64url(n)}
    ec_numbers = key.public_key().public_numbers()
    x, y = (number.to_bytes(32) for number in (ec_numbers.x, ec_numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": base64url(x), "y": base64url(y)}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638 §3: the digest of the members in lexical order, without white space."""
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    return base64url(hashlib.sha256(canonical).digest())


def new_registration(
    name: str, form: Form, make_key: Callable[[str, str, int], PrivateKey], folder: Path, jwks_host: JwksHost
) -> tuple[Registration, dict[str, Any]]:
    """A client with its keys, and the metadata by which the server is to know it."""
    algs = [form.alg] if form.second_alg is None else [form.alg, form.second_alg]
    private_keys = [make_key(name, alg, place) for place, alg in enumerate(algs)]
    jwks: list[dict[str, Any]] = [public_jwk(key) for key in private_keys]
    kids: list[str | None] = [None] * len(jwks)
    if form.form in ("jwks", "jwks-uri"):
        kids = [thumbprint(jwk) for jwk in jwks]
        jwks = [{**jwk, "kid": str(kid)} for jwk, kid in zip(jwks, kids, strict=True)]
    if form.form == "jwks-uri":
        jwks = [{**jwk, "use": "sig", "alg": alg} for jwk, alg in zip(jwks, algs, strict=True)]
    jwks = [{**jwk, **form.jwk} for jwk in jwks]
    paths = [folder / f"{name}{suffix}.pem" for suffix in ("", "-second")[: len(algs)]]
    for path, key in zip(paths, private_keys, strict=True):
        write_private_key(path, key)
    registered_path = folder / f"{name}.registered"
    registered_path.write_bytes(
        public_pem(private_keys[0]) if form.form == "pem" else json.dumps({"keys": jwks}).encode()
    )
    jwks_uri = jwks_host.publish(name, jwks) if form.form.startswith("jwks-uri") else None
    second = None if form.second_alg is None else SecondKey(form.second_alg, kids[1], paths[1])
    registration = Registration(str(uuid.uuid4()), form.alg, kids[0], paths[0], registered_path, jwks_uri, second)
    known = {"jwks": {"keys": jwks}} if jwks_uri is None else {"jwks_uri": jwks_uri}
    metadata = client_metadata(registration.client_id, name, form.alg, {**form.metadata, **known})
    return registration, {member: value for member, value in metadata.items() if value is not None}


def client_metadata(client_id: str, name: str, alg: str, more: Mapping[str, object]) -> dict[str, Any]:
    """What the server is to know of an application, with its keys in `more`."""
    return {
        "client_id": client_id,
        "client_name": name,
        "institutionId": INSTITUTION_ID,
        "grant_types": ["client_credentials"],
        "response_types": [],
        "redirect_uris": [],
        "scope": " ".join(GRANTED_SCOPES),
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": alg,
        **more,
    }


# --- persons, and the clients that sign them in ---

OFFLINE_ACCESS = "https://api.banno.com/consumer/auth/offline_access"
INSTITUTION_CLAIM = "https://api.banno.com/consumer/claim/institution_id"
CLIENT_AUTH_METHODS = ("private_key_jwt", "client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class LoginClient:
    """A client that signs persons in: it has a private key or a secret, each in a file of its own."""

    client_id: str
    token_endpoint_auth_method: str
    id_token_signed_response_alg: str
    private_key_path: Path | None = None
    client_secret_path: Path | None = None

    @property
    def options(self) -> list[str]:
        """How `banno-creds` is told of it."""
        if self.private_key_path is not None:
            return ["--client-id", self.client_id, "--private-key", str(self.private_key_path)]
        return ["--client-id", self.client_id, "--client-secret-file", str(self.client_secret_path)]

    @property
    def secret(self) -> str:
        assert self.client_secret_path is not None
        return self.client_secret_path.read_text(encoding="utf-8").rstrip("\n")


# By name: what differs from a client with a private key and id_tokens by RS256.
LOGIN_CLIENTS: Mapping[str, Mapping[str, object]] = {
    **{
        f"{method}-{alg}": {"token_endpoint_auth_method": method, "id_token_signed_response_alg": alg}
        for method in CLIENT_AUTH_METHODS
        for alg in ALGORITHMS
    },
    # Its access tokens have ended for us as soon as they are there: what asks again must refresh.
    "short-lived": {"accessTokenSeconds": 5},
    "no-refresh": {"grant_types": ["authorization_code"]},
    "pushing": {"require_pushed_authorization_requests": True},
}


def new_login_client(
    name: str, metadata: Mapping[str, object], key: PrivateKey, folder: Path, redirect_uris: Sequence[str]
) -> tuple[LoginClient, dict[str, Any]]:
    """A client for persons, and the metadata by which the server is to know it."""
    registered: dict[str, Any] = {
        "client_id": str(uuid.uuid4()),
        "client_name": name,
        "institutionId": INSTITUTION_ID,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": list(redirect_uris),
        "post_logout_redirect_uris": [str(httpx.URL(uri).copy_with(path="/")) for uri in redirect_uris],
        "token_endpoint_auth_method": "private_key_jwt",
        "id_token_signed_response_alg": "RS256",
        **metadata,
    }
    private_key_path = client_secret_path = None
    if registered["token_endpoint_auth_method"] == "private_key_jwt":
        private_key_path = folder / f"login-{name}.pem"
        write_private_key(private_key_path, key)
        registered["jwks"] = {"keys": [public_jwk(key)]}
    else:
        # Characters that RFC 6749 §2.3.1 has encoded in a basic authentication.
        registered["client_secret"] = f"{secrets.token_urlsafe(24)}:+/ %&="
        client_secret_path = folder / f"login-{name}.secret"
        client_secret_path.touch(mode=0o600)
        client_secret_path.write_text(registered["client_secret"] + "\n", encoding="utf-8")
    client = LoginClient(
        registered["client_id"],
        registered["token_endpoint_auth_method"],
        registered["id_token_signed_response_alg"],
        private_key_path,
        client_secret_path,
    )
    return client, registered


_MORE_THAN_ONE = ("--scope", "--claim", "--param", "--resource")

Argument = TypeVar("Argument", str, "str | Path")


def last_of_each(arguments: Sequence[Argument]) -> list[Argument]:
    """Leave each option once, with its last value: what a test gives takes the place of the correct set-up's."""
    kept: dict[object, list[Argument]] = {}
    for place, argument in enumerate(arguments):
        text = str(argument)
        if not kept or text.startswith("--"):
            name: object = (text, place) if text in _MORE_THAN_ONE else text
            kept.pop(name, None)
            kept[name] = []
        kept[next(reversed(kept))].append(argument)
    return [argument for part in kept.values() for argument in part]


class JwksHost(FileServer):
    """The integrator's own web server, at which the JWKS URIs point."""

    def publish(self, name: str, jwks: Sequence[Mapping[str, str]]) -> str:
        path = f"/{name}/jwks.json"
        self.documents[path] = json.dumps({"keys": jwks}).encode()
        return f"{self.origin}{path}"


# --- the server ---


@dataclass(frozen=True, slots=True)
class Event:
    """What the server's operator sees of one token request, or of one step of a person's login.

    `error_detail` is never sent to the client. `grant_type` and `client_auth_method` are None for client_credentials.
    `parameters` has every parameter of an authorization request, secrets and the like as "…".
    """

    event: str
    client_id: str | None
    error: str | None = None
    error_description: str | None = None
    error_detail: str | None = None
    grant_type: str | None = None
    client_auth_method: str | None = None
    status: int | None = None
    parameters: Mapping[str, str] | None = None


class ProviderProcess:
    """The Node process: JSON lines in, JSON lines out, and always ended by `stop`."""

    def __init__(self, node: str, log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:  # a file: a pipe nobody reads would stop the server when it is full
            self._process = subprocess.Popen(
                [node, str(HERE / "provider.mjs")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=HERE,
            )
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def send(self, message: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def receive(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"nothing from oidc-provider within {timeout:g} s") from None
        if line is None:
            self._lines.put(None)  # for whoever asks next
            raise self._ended()
        message: dict[str, Any] = json.loads(line)
        return message

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def _ended(self) -> RuntimeError:
        log = self._log.read_text(encoding="utf-8", errors="replace")
        return RuntimeError(f"oidc-provider has ended; on stderr it said:\n{log}")

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # it had ended by itself
            self._process.stdin.close()  # the order to stop, on every operating system
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()


@dataclass(frozen=True, slots=True)
class Provider:
    """A running authorization server. Its events are for one reader: read them from the test's own thread."""

    issuer: str
    token_endpoint: str
    registrations: Mapping[str, Registration]
    login_clients: Mapping[str, LoginClient]
    people: Mapping[str, Person]
    redirect_port: int
    log: Path
    _process: ProviderProcess = field(repr=False)

    @property
    def redirect_uri(self) -> str:
        """The one that the vendor's example registers, with a port of this run's own."""
        return f"https://localhost:{self.redirect_port}/auth/cb"

    def next_event(self, timeout: float = 5.0) -> Event:
        """The oldest event not read yet; waits for it, and raises TimeoutError when none comes."""
        return Event(**self._process.receive(timeout))

    def register(self, alg: str, known: Mapping[str, object]) -> str:
        """Add an application that signs by `alg`, known by `jwks` or `jwks_uri`; return its client ID."""
        self.drain_events()
        client_id = str(uuid.uuid4())
        self._process.send({"register": client_metadata(client_id, "registered later", alg, known)})
        assert self._process.receive(5.0) == {"event": "registered", "client_id": client_id}
        return client_id

    def drain_events(self) -> list[Event]:
        """Every event not read yet, with those of all requests answered so far: the mark comes after them."""
        mark = str(uuid.uuid4())
        self._process.send({"mark": mark})
        events: list[Event] = []
        while (message := self._process.receive(5.0)) != {"event": "mark", "mark": mark}:
            events.append(Event(**message))
        return events


@contextmanager
def running_provider(
    folder: Path, *, require_par: bool = False, client_auth_methods: Sequence[str] = CLIENT_AUTH_METHODS
) -> Iterator[Provider]:
    node = shutil.which("node")
    assert node is not None
    # Node loads its modules while the keys are made here.
    log = folder / "oidc-provider.log"
    process = ProviderProcess(node, log)
    try:
        with JwksHost() as jwks_host:
            make_key = private_key_maker()
            clients = {
                name: new_registration(name, form, make_key, folder, jwks_host)
                for name, form in FORMS.items()
                if form.metadata.get("token_endpoint_auth_method", "private_key_jwt") in client_auth_methods
            }
            port = free_port()
            redirect_uris = [
                f"{origin}:{port}/auth/cb" for origin in ("https://localhost", "http://localhost", "http://127.0.0.1")
            ]
            login_clients = {
                name: new_login_client(name, metadata, make_key("", "any RSA", 0), folder, redirect_uris)
                for name, metadata in LOGIN_CLIENTS.items()
                if metadata.get("token_endpoint_auth_method", "private_key_jwt") in client_auth_methods
            }
            people = new_people()
            process.send(
                {
                    "clients": [metadata for _, metadata in (*clients.values(), *login_clients.values())],
                    "people": {login: {"password": p.password, "claims": p.claims} for login, p in people.items()},
                    "require_par": require_par,
                    "client_auth_methods": list(client_auth_methods),
                    "port": 0,
                }
            )
            ready = process.receive(START_TIMEOUT)
            yield Provider(
                ready["issuer"],
                ready["token_endpoint"],
                {name: registration for name, (registration, _) in clients.items()},
                {name: client for name, (client, _) in login_clients.items()},
                people,
                port,
                log,
                process,
            )
    finally:
        process.stop()


@pytest.fixture(scope="session")
def oidc_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """One server for the whole session. Tests want `provider`, which spares them the events of others."""
    with running_provider(tmp_path_factory.mktemp("oidc-provider")) as provider:
        yield provider


@pytest.fixture(scope="session")
def strict_oidc_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """One that wants every request pushed, and takes a secret in the form alone. Tests want `strict_provider`."""
    methods = ("private_key_jwt", "client_secret_post")
    folder = tmp_path_factory.mktemp("strict-oidc-provider")
    with running_provider(folder, require_par=True, client_auth_methods=methods) as provider:
        yield provider


@pytest.fixture
def strict_provider(strict_oidc_provider: Provider) -> Provider:
    """The session's strict server, with the events of earlier tests forgotten."""
    strict_oidc_provider.drain_events()
    return strict_oidc_provider


@pytest.fixture
def provider(oidc_provider: Provider) -> Provider:
    """The session's server, with the events of earlier tests forgotten."""
    oidc_provider.drain_events()
    return oidc_provider
