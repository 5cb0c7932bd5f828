"""The network as people have it: NO_PROXY in every form, proxies, CA bundles of other programs, localhost."""

from __future__ import annotations

import errno
import socket
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from banno_creds.errors import ConfigurationError
from banno_creds.http import faults, proxies
from banno_creds.http.exchange import resolve
from banno_creds.http.trust import Trust
from banno_creds.text import system_words
from tests.conftest import CLIENT_ID
from tests.servers.bank import Bank
from tests.servers.raw import Proxy, RawServer, sends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Cli, Result

BANK = "https://login.bank.example/token"
PROXY = "http://127.0.0.1:9"
BUNDLES = (
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT"),
)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", *BUNDLES):
        monkeypatch.delenv(name, raising=False)


# --- Windows' own words, certificates and exceptions ---


def of_windows(number: int, words: str = "Es konnte keine Verbindung hergestellt werden") -> OSError:
    """An error as Windows has it: its own number, and words in its user's language, or none."""
    failure = OSError(number if number >= 10000 else errno.EINVAL, words)
    if sys.platform == "win32":
        return OSError(0, words, None, number)
    vars(failure)["winerror"] = number
    return failure


@pytest.mark.parametrize("words", ["Es konnte keine Verbindung hergestellt werden", ""])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (10061, "Connection refused"),
        (1225, "Connection refused"),
        (10060, "Connection timed out"),
        (121, "Connection timed out"),
        (10051, "Network is unreachable"),
        (10065, "No route to host"),
        (10054, "Connection reset by peer"),
        (64, "Connection reset by peer"),
        (10013, "Permission denied"),
        (10048, "Address already in use"),
    ],
)
def test_faults_of_the_network_have_the_same_words_on_windows(number: int, said: str, words: str) -> None:
    assert system_words(of_windows(number, words)) == said


def test_fault_of_the_resolver_has_the_same_words_on_windows() -> None:
    for number, said in (
        (11001, "Name or service not known"),
        (11002, "Temporary failure in name resolution"),
        (11003, "Non-recoverable failure in name resolution"),
        (11004, "No address associated with hostname"),
    ):
        error = faults.unconnected(socket.gaierror(number, "getaddrinfo failed"), BANK, None, "")
        assert (error.message, error.rule) == (f"login.bank.example cannot be resolved: {said}", "network.dns")


def test_words_of_a_fault_are_never_empty() -> None:
    assert system_words(OSError(12345, "")) == "OSError"
    assert system_words(ConnectionResetError()) == "ConnectionResetError"
    assert system_words(OSError(errno.ECONNRESET, "of this system")) in ("of this system", "Connection reset by peer")


@pytest.mark.parametrize(
    ("code", "words", "rule", "hint"),
    [
        (0x800B0101, "certificate has expired or is not yet valid", "network.tls.expired", "clock"),
        (0x800B010F, "hostname mismatch", "network.tls.host", "another host"),
        (0x800B0109, "self-signed certificate in certificate chain", "network.tls.untrusted", "does not know"),
        (0x800B010A, "unable to get local issuer certificate", "network.tls.untrusted", "does not know"),
        (-67818, "certificate has expired or is not yet valid", "network.tls.expired", "clock"),
        (-67602, "hostname mismatch", "network.tls.host", "another host"),
        (
            0x80092010,
            "the operating system does not accept it (0x80092010)",
            "network.tls.untrusted",
            "does not know",
        ),
    ],
)
def test_certificates_that_another_store_refuses_are_told_as_openssls(
    code: int, words: str, rule: str, hint: str
) -> None:
    cause = ssl.SSLCertVerificationError("Worte des Systems")
    cause.verify_code, cause.verify_message = code, "Worte des Systems über bank.example"
    error = faults.untrusted(cause, "bank.example", Trust(None))
    assert error.message == f"the certificate of bank.example is not trusted: {words}"
    assert error.rule == rule
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    ("entry", "url", "excepted"),
    [
        ("<local>", "https://bank/token", True),
        ("<local>", BANK, False),
        ("<local>", "https://[2001:db8::1]/token", False),
        ("*.bank.example", BANK, True),
        ("*.Bank.Example", BANK, True),
        ("login.bank.example", BANK, True),
        ("bank.example", BANK, False),
        ("login.bank", BANK, False),
        ("login.ban?.example", BANK, True),
        ("10.*", "https://10.1.2.3/token", True),
        ("10.*", "https://110.1.2.3/token", False),
        ("https://*.bank.example", BANK, True),
        ("http://*.bank.example", BANK, False),
        ("*.bank.example:443", BANK, True),
        ("*.bank.example:8443", BANK, False),
        ("[2001:db8::1]", "https://[2001:db8::1]/token", True),
        ("(login", BANK, False),
        ("*", BANK, True),
    ],
)
def test_exceptions_in_windows_settings_are_patterns_of_the_whole_host(entry: str, url: str, excepted: bool) -> None:
    assert proxies._system_excepts(entry, url) is excepted


# --- NO_PROXY ---


@pytest.mark.parametrize(
    ("no_proxy", "url", "excepted"),
    [
        ("login.bank.example", BANK, True),
        ("bank.example", BANK, True),
        (".bank.example", BANK, True),
        ("*.bank.example", BANK, True),
        ("*bank.example", BANK, True),
        ("bank.example.", BANK, True),
        ("LOGIN.Bank.Example", BANK, True),
        ("bank.example", "https://LOGIN.BANK.example/token", True),
        ("bank.example", "https://login.bank.example./token", True),
        ("a.example bank.example", BANK, True),
        ("a.example;bank.example", BANK, True),
        (" a.example ,\tbank.example\n", BANK, True),
        ("a.example,,bank.example,", BANK, True),
        ("https://login.bank.example", BANK, True),
        ("https://login.bank.example:443/", BANK, True),
        ("login.bank.example:443", BANK, True),
        ("bank.example:443", BANK, True),
        ("*", BANK, True),
        ("a.example, *", BANK, True),
        ("login.bank.example:8443", "https://login.bank.example:8443/token", True),
        ("10.0.0.0/8", "https://10.1.2.3/token", True),
        ("10.1.2.3/8", "https://10.1.2.3/token", True),
        ("10.1.2.3", "https://10.1.2.3/token", True),
        ("10.1.2.3:443", "https://10.1.2.3/token", True),
        ("2001:db8::/32", "https://[2001:db8::1]/token", True),
        ("[2001:db8::]/32", "https://[2001:db8::1]/token", True),
        ("2001:db8::1", "https://[2001:db8::1]/token", True),
        ("[2001:db8::1]", "https://[2001:db8::1]/token", True),
        ("[2001:DB8:0::1]:443", "https://[2001:db8::1]/token", True),
        ("", BANK, False),
        (",;", BANK, False),
        ("ank.example", BANK, False),
        ("login.bank.example.org", BANK, False),
        ("login.bank.example:8443", BANK, False),
        ("bank.example/token", BANK, True),
        ("10.0.0.0/8", BANK, False),
        ("10.0.0.0/8", "https://11.1.2.3/token", False),
        ("2.3", "https://10.1.2.3/token", False),
        ("10.1.2.3:8443", "https://10.1.2.3/token", False),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]/token", False),
        ("2001:db8::/32", "https://10.1.2.3/token", False),
        ("300.1.2.3/8", "https://10.1.2.3/token", False),
        (".", BANK, False),
        ("*.", BANK, False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_is_read_in_each_form_that_other_programs_know(
    variable: str, no_proxy: str, url: str, excepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv(variable, no_proxy)
    assert (proxies.proxy_for(url) is None) == excepted


@pytest.mark.parametrize(
    ("no_proxy", "url", "named"),
    [
        ("login.bank.example:8443", BANK, ["login.bank.example:8443"]),
        ("localhost|*.bank.example|x", BANK, ["localhost|*.bank.example|x"]),
        ("*.bank.example*", BANK, ["*.bank.example*"]),
        ("www.bank.example,other.example", BANK, ["www.bank.example"]),
        ("10.1.*", "https://10.1.2.3/token", ["10.1.*"]),
        ("other.example,10.0.0.0/8,localhost", BANK, []),
        ("bank.example", BANK, []),
    ],
)
def test_entry_that_looks_meant_is_named(
    no_proxy: str, url: str, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxies.without_effect(url) == named


# --- proxies ---


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ('"http://127.0.0.1:9"', "http://127.0.0.1:9"),
        (" http://127.0.0.1:9\r\n", "http://127.0.0.1:9"),
        ("HTTP://127.0.0.1:9/", "http://127.0.0.1:9"),
        ("https://127.0.0.1:9", "https://127.0.0.1:9"),
        ("http://[::1]:9", "http://[::1]:9"),
        ("http://user:p@ss@127.0.0.1:9", "http://127.0.0.1:9"),
        ("http://user:50%@127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_proxy_is_read_as_it_is_written(value: str, origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    proxy = proxies.proxy_for(BANK)
    assert proxy is not None
    assert f"{proxy.url.scheme}://{proxy.url.netloc.decode()}" == origin


@pytest.mark.parametrize(
    ("value", "password"),
    [
        ("p%40ss", b"p@ss"),
        ("p@ss", b"p@ss"),
        ("a:b", b"a:b"),
        ("a+b", b"a+b"),
        ("50%", b"50%"),
        ("%C3%BC", "ü".encode()),
    ],
)
def test_password_of_a_proxy_is_what_was_written(
    value: str, password: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{value}@127.0.0.1:9")
    proxy = proxies.proxy_for(BANK)
    assert proxy is not None
    assert proxy.raw_auth == (b"user", password)


@pytest.mark.parametrize("scheme", ["socks", "socks4", "SOCKS4A"])
def test_old_socks_is_called_so(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://user:s3cret@127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="SOCKS proxy of a version") as failure:
        proxies.proxy_for(BANK)
    assert "s3cret" not in f"{failure.value} {failure.value.hint}"


@pytest.fixture
def ask(cli: Cli, rsa_pem: Path) -> Callable[..., Result]:
    """Ask a server for a token."""

    def run(url: str, *more: str | Path, env: dict[str, str] | None = None, command: str = "token") -> Result:
        options = ["--client-id", CLIENT_ID, "--private-key", rsa_pem, "--token-endpoint", url, *more]
        return cli(command, *options, *(["--no-cache"] if command == "token" else []), env=env)

    return run


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_https_before_a_proxy_that_speaks_plain_http_is_told(ask: Callable[..., Result], pauses: list[float]) -> None:
    del pauses
    with RawServer(sends(b"HTTP/1.1 400 Bad Request\r\n\r\n"), at_once=True) as proxy:
        result = ask(BANK, env={"HTTPS_PROXY": f"https://127.0.0.1:{proxy.port}"})
    assert result.code == 5
    said = one_line(result.stderr)
    assert f"TLS with the proxy 127.0.0.1:{proxy.port} failed" in said
    assert "write http:// before its host" in said


def test_untrusted_certificate_of_a_proxy_is_called_the_proxys(ask: Callable[..., Result]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with Proxy(1, context=context) as proxy:
        result = ask(BANK, env={"HTTPS_PROXY": f"https://127.0.0.1:{proxy.port}"})
    assert f"the certificate of the proxy 127.0.0.1:{proxy.port} is not trusted" in one_line(result.stderr).lower()


@pytest.mark.posix("on Windows the case of a variable's name does not matter")
def test_doctor_names_an_entry_without_effect_and_a_twin_that_differs(ask: Callable[..., Result]) -> None:
    with Proxy(1) as proxy:
        env = {
            "https_proxy": f"http://127.0.0.1:{proxy.port}",
            "HTTPS_PROXY": "http://other.example:1",
            "NO_PROXY": "login.bank.example:8443",
        }
        said = one_line(ask(BANK, command="doctor", env=env).stdout)
    assert "NO_PROXY has login.bank.example:8443, which does not except login.bank.example" in said
    assert "write login.bank.example there" in said
    assert "https_proxy is used, and HTTPS_PROXY names another proxy" in said


# --- certificate authorities ---


class Cert:
    """A certificate and its key."""

    def __init__(self, name: str, issuer: Cert | None = None, *, ca: bool = True, ended: bool = False) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        by = issuer or self
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(by.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now - timedelta(days=1) if ended else now + timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(by.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


ROOT = Cert("Root")
BETWEEN = Cert("Between", ROOT)
LEAF = Cert("Leaf", BETWEEN, ca=False)
OLD = Cert("Old", ended=True)
OLDS_LEAF = Cert("Leaf of Old", OLD, ca=False)


def serving(*chain: Cert) -> ssl.SSLContext:
    """A server's context that sends these certificates, the server's own first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = chain[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with TemporaryDirectory() as folder:
        file = Path(folder, "chain.pem")
        file.write_bytes(key + b"".join(each.pem for each in chain))
        context.load_cert_chain(file)
    return context


@pytest.fixture(scope="module")
def secure() -> Iterator[Bank]:
    with Bank(serving(LEAF, BETWEEN)) as running:
        yield running


@pytest.mark.no_wine("Wine trusts a partial chain")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BETWEEN.pem, "has the intermediate authority CN=Between alone: add the root that issued it, CN=Root"),
        (LEAF.pem, "has the certificate of CN=Leaf, which is no authority: name the authority's"),
        (Cert("Another").pem, "a certificate authority this machine does not know"),
        (OLD.pem, "a certificate authority this machine does not know"),
    ],
    ids=["intermediate", "leaf", "another root", "an expired root"],
)
@pytest.mark.parametrize("where", ["--ca-bundle", "SSL_CERT_FILE"])
@pytest.mark.parametrize("command", ["token", "doctor"])
def test_bundle_that_lacks_something_is_told_what(
    command: str, where: str, content: bytes, said: str, ask: Callable[..., Result], secure: Bank, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    url = secure.url.replace("127.0.0.1", "localhost")
    more, env = (["--ca-bundle", file], {}) if where == "--ca-bundle" else ([], {"SSL_CERT_FILE": str(file)})
    result = ask(url, *more, env=env, command=command)
    assert result.code == 5
    words = one_line(result.stdout + result.stderr)
    assert said in words
    if "has the" in said:
        assert f"{where} {file} has the" in words


def test_right_root_is_trusted(ask: Callable[..., Result], secure: Bank, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(ROOT.pem)
    result = ask(secure.url.replace("127.0.0.1", "localhost"), "--ca-bundle", file)
    assert result.code == 0, result.stderr


def test_expired_authority_is_not_called_the_servers_certificate(ask: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(OLD.pem)
    with Bank(serving(OLDS_LEAF)) as bank:
        result = ask(bank.url.replace("127.0.0.1", "localhost"), "--ca-bundle", file)
    assert result.code == 5
    words = one_line(result.stderr)
    assert f"the certificate of CN=Old in --ca-bundle {file} ended at" in words
    assert "name its successor" in words


@pytest.mark.no_wine("Wine trusts a partial chain")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: None, "is not there: correct it, or unset it"),
        (lambda path: path.mkdir(), "is a folder: name a file"),
        (lambda path: path.write_bytes(b""), "is empty: name a file of PEM certificates"),
        (lambda path: path.write_bytes(b"garbage"), "holds no certificate: name a file of PEM certificates"),
    ],
    ids=["missing", "folder", "empty", "garbage"],
)
def test_ssl_cert_file_that_cannot_be_meant_is_named(
    make: Callable[[Path], object], said: str, ask: Callable[..., Result], secure: Bank, tmp_path: Path
) -> None:
    make(tmp_path / "ca.pem")
    result = ask(secure.url.replace("127.0.0.1", "localhost"), env={"SSL_CERT_FILE": str(tmp_path / "ca.pem")})
    assert result.code == 5
    assert f"SSL_CERT_FILE {tmp_path / 'ca.pem'} {said}" in one_line(result.stderr)


@pytest.mark.posix("Windows has no such file, whatever its path is")
@pytest.mark.parametrize("command", ["token", "doctor"])
def test_ssl_cert_file_that_cannot_be_looked_at_is_no_bug(
    ask: Callable[..., Result], secure: Bank, tmp_path: Path, command: str
) -> None:
    path = str(tmp_path / ("a" * 300))
    result = ask(secure.url.replace("127.0.0.1", "localhost"), env={"SSL_CERT_FILE": path}, command=command)
    assert result.code == 5, result.stderr
    if command == "token":
        assert " cannot be read: " in one_line(result.stderr)


@pytest.mark.no_wine("Wine trusts a partial chain")
@pytest.mark.parametrize("variable", BUNDLES)
@pytest.mark.parametrize("command", ["token", "doctor"])
def test_bundle_of_another_program_is_named(
    command: str, variable: str, ask: Callable[..., Result], secure: Bank
) -> None:
    result = ask(secure.url.replace("127.0.0.1", "localhost"), env={variable: "/etc/corporate.pem"}, command=command)
    assert result.code == 5
    words = one_line(result.stdout + result.stderr)
    assert f"{variable} is not read here: if it has the authority, add --ca-bundle /etc/corporate.pem" in words


# --- localhost ---


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("resolved", [["127.0.0.1"], ["::1"], ["127.0.0.1", "::1"], []])
@pytest.mark.parametrize("command", ["token", "doctor"])
def test_localhost_is_found_at_either_address(
    command: str,
    address: str,
    resolved: list[str],
    ask: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *more: object, **named: object) -> list[object]:
        if host != "localhost":
            return real(host, port, *more, **named)  # type: ignore[arg-type, return-value]
        if not resolved:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for each in resolved for found in real(each, port, *more, **named)]  # type: ignore[arg-type]

    with Bank(host=address) as bank:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        result = ask(f"http://localhost:{bank.port}/token", command=command)
    assert result.code == 0, result.stdout + result.stderr
    assert len(bank.forms) == 1


def test_localhost_where_nothing_listens_is_told_as_ever(ask: Callable[..., Result], pauses: list[float]) -> None:
    del pauses
    result = ask("http://localhost:9/token")
    assert result.code == 5
    assert "localhost:9 refused the connection: nothing listens there" in result.stderr
    assert {address for address, _ in resolve("localhost", 9, 5)} == {"127.0.0.1", "::1"}
