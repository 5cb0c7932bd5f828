"""``banno-creds keygen``: what it writes, what it says, and what it leaves alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pexpect
import pytest
from cryptography.hazmat.primitives import serialization

from banno_creds.jose import keys
from banno_creds.shells import quote
from tests.conftest import CLIENT_ID, at_home, has_mode, write_private
from tests.key_files import ENCRYPTED, FORMS, NO_PASSPHRASE, PASSPHRASE, damaged_rsa, pem_of
from tests.openssl import openssl

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Cli, Result

pytestmark = pytest.mark.measured

NEXT = """\
Next, in Users & Groups:
    create an external application of the type Service account with Signed JWT, paste all of {public} into its \
public key, choose the associated user, save, and copy the client ID it shows. The private key stays with you. Then:
    banno-creds client-assertion --client-id CLIENT_ID --private-key {private}
For an application that people sign in to, see: banno-creds login --help
"""
PROGRAM = [sys.executable, "-m", "banno_creds", "keygen"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, and the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fingerprint(public: bytes) -> str:
    der = b64decode(b"".join(public.splitlines()[1:-1]))
    return f"SHA256:{b64encode(sha256(der).digest()).decode().rstrip('=')}"


def public_of(private: bytes, passphrase: bytes | None = None) -> bytes:
    """Return the public half of a private key's PEM, as the library has it; OpenSSL's view has its own tests."""
    key = serialization.load_pem_private_key(private, passphrase)
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def error(message: str, hint: str) -> str:
    return f"✗   {message}\n    Next: {hint}\n"


def no_secret(result: Result) -> bool:
    return "PRIVATE" not in result.stdout + result.stderr


class TestNewKey:
    def test_what_it_writes_and_says(self, cli: Cli, here: Path) -> None:
        result = cli("keygen")
        assert sorted(listing(here)) == ["private.pem", "public.pem"]
        private, public = Path("private.pem").read_bytes(), Path("public.pem").read_bytes()
        assert private.startswith(b"-----BEGIN PRIVATE KEY-----\n")
        assert private.endswith(b"\n-----END PRIVATE KEY-----\n")
        assert public.startswith(b"-----BEGIN PUBLIC KEY-----\n")
        thumbprint = keys.load_private_key(private, "x").public.thumbprint()
        assert result.stdout == (
            "private key  private.pem\n"
            "public key   public.pem\n"
            "type         RSA 2048\n"
            f"fingerprint  {fingerprint(public)}\n"
            f"thumbprint   {thumbprint}\n"
        )
        assert result.stderr == NEXT.format(public="public.pem", private="private.pem")
        assert (result.code, names(here)) == (0, ["private.pem", "public.pem"])
        assert has_mode("private.pem", 0o600)
        assert has_mode("public.pem", 0o644)
        assert no_secret(result)

    @pytest.mark.parametrize(
        ("args", "description", "words"),
        [
            ([], "RSA 2048", "Private-Key: (2048 bit"),
            (["--type", "rsa", "--bits", "2048"], "RSA 2048", "Private-Key: (2048 bit"),
            (["--bits", "3072"], "RSA 3072", "Private-Key: (3072 bit"),
            (["--bits", "4096"], "RSA 4096", "Private-Key: (4096 bit"),
            (["--type", "ec"], "EC P-256", "ASN1 OID: prime256v1"),
        ],
    )
    def test_openssl_reads_it_and_finds_it_sound(
        self, cli: Cli, args: list[str], description: str, words: str
    ) -> None:
        result = cli("keygen", *args)
        assert result.code == 0
        assert f"type         {description}\n" in result.stdout
        said = openssl("pkey", "-in", "private.pem", "-noout", "-text", "-check").decode()
        assert said.startswith("Key is valid\n")
        assert words in said
        assert openssl("pkey", "-in", "private.pem", "-pubout") == Path("public.pem").read_bytes()
        if description.startswith("RSA"):
            assert "publicExponent: 65537 (0x10001)" in said

    def test_no_two_keys_are_alike(self, cli: Cli) -> None:
        cli("keygen", "--type", "ec")
        first = Path("private.pem").read_bytes()
        cli("keygen", "--type", "ec", "--force")
        assert Path("private.pem").read_bytes() != first

    def test_json(self, cli: Cli) -> None:
        result = cli("keygen", "--type", "ec", "-o", "json", "-q", "--private-key", "a.pem", "--public-key", "b.pem")
        public = keys.load_private_key(Path("a.pem").read_bytes(), "x").public
        assert (result.code, result.stderr, result.stdout.count("\n")) == (0, "", 1)
        assert json.loads(result.stdout) == {
            "private_key": "a.pem",
            "public_key": "b.pem",
            "type": "EC P-256",
            "fingerprint": fingerprint(Path("b.pem").read_bytes()),
            "thumbprint": public.thumbprint(),
            "jwk": public.jwk(),
        }

    def test_quiet_leaves_out_what_to_do_next(self, cli: Cli) -> None:
        result = cli("keygen", "-q")
        assert (result.code, result.stderr) == (0, "")
        assert result.stdout.startswith("private key ")

    @pytest.mark.parametrize("args", [[], ["--type", "ec"]])
    @pytest.mark.parametrize("secret", [None, b"correct horse"])
    def test_the_command_it_says_comes_next_works(
        self, cli: Cli, tmp_path: Path, args: list[str], secret: bytes | None
    ) -> None:
        place = tmp_path / "a folder's"
        place.mkdir()
        options = ["--private-key", str(place / "private.pem"), *args]
        if secret is not None:
            options += ["--passphrase-file", str(write_private(place / "pass phrase", secret))]
        result = cli("keygen", *options)
        program, command, *rest = shlex.split(result.stderr.splitlines()[-2])
        assert (program, command) == ("banno-creds", "client-assertion")
        signed = cli("sign-jwt", "-q", *[CLIENT_ID if word == "CLIENT_ID" else word for word in rest])
        assert (signed.code, signed.stderr) == (0, "")
        alg = "ES256" if args else "PS256"
        options = {"verify_aud": False}  # type: ignore[assignment]
        decoded = jwt.decode(signed.stdout.strip(), Path("public.pem").read_bytes(), [alg], options=options)  # type: ignore[arg-type]
        assert decoded["iss"] == CLIENT_ID

    @pytest.mark.posix("modes")
    @pytest.mark.parametrize(("umask", "public"), [(0o000, 0o644), (0o022, 0o644), (0o077, 0o600)])
    def test_modes_do_not_depend_on_the_umask(self, umask: int, public: int) -> None:
        subprocess.run([*PROGRAM, "--type", "ec"], umask=umask, check=True, capture_output=True)
        assert has_mode("private.pem", 0o600)
        assert has_mode("public.pem", public)

    @pytest.mark.posix("modes")
    def test_the_private_key_has_its_mode_from_its_first_byte(
        self, cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each file in the folder is looked at before and after every step; never is there one others can read."""
        seen: set[tuple[int, bool]] = set()

        def look() -> None:
            for path in here.iterdir():
                if "private" in path.name:
                    seen.add((stat.S_IMODE(path.lstat().st_mode), b"PRIVATE KEY" in path.read_bytes()))

        for name in ("open", "fdopen", "fsync", "close", "replace"):
            monkeypatch.setattr(os, name, self._looking(getattr(os, name), look))
        umask = os.umask(0)
        try:
            assert cli("keygen", "--type", "ec").code == 0
        finally:
            os.umask(umask)
        assert seen == {(0o600, False), (0o600, True)}

    @staticmethod
    def _looking(original: Callable[..., object], look: Callable[[], None]) -> Callable[..., object]:
        busy = False

        def call(*args: object, **kwargs: object) -> object:
            nonlocal busy
            result = original(*args, **kwargs)
            if not busy:  # for looking opens files, too
                busy = True
                try:
                    look()
                finally:
                    busy = False
            return result

        return call

    @pytest.mark.parametrize(
        ("variables", "description"),
        [
            ({"BANNO_CREDS_KEYGEN_TYPE": "ec"}, "EC P-256"),
            ({"BANNO_CREDS_KEYGEN_BITS": "3072"}, "RSA 3072"),
            ({"BANNO_CREDS_PRIVATE_KEY": "/nowhere", "BANNO_CREDS_PASSPHRASE_FILE": "/nowhere"}, "RSA 2048"),
        ],
    )
    def test_its_variables_are_its_own(self, cli: Cli, variables: dict[str, str], description: str) -> None:
        result = cli("keygen", env=variables)
        assert result.code == 0
        assert f"type         {description}\n" in result.stdout

    def test_paths_from_a_variable_may_start_with_a_tilde(self, cli: Cli, here: Path) -> None:
        variables = at_home(here) | {
            "BANNO_CREDS_KEYGEN_PRIVATE_KEY": "~/a.pem",
            "BANNO_CREDS_KEYGEN_PUBLIC_KEY": "~/b.pem",
        }
        result = cli("keygen", "--type", "ec", env=variables)
        assert result.code == 0
        assert sorted(listing(here)) == ["a.pem", "b.pem"]
        assert f"private key  {here / 'a.pem'}\n" in result.stdout


class TestPassphrase:
    @pytest.mark.parametrize("args", [[], ["--type", "ec"]])
    @pytest.mark.parametrize(
        "content", [b"correct horse", b"correct horse\n", b"correct horse\r\n"], ids=["bare", "LF", "CRLF"]
    )
    @pytest.mark.parametrize("from_stdin", [False, True])
    def test_from_a_file_or_standard_input(
        self, cli: Cli, tmp_path: Path, args: list[str], content: bytes, from_stdin: bool
    ) -> None:
        file = write_private(tmp_path / "secret", content)
        source = "-" if from_stdin else str(file)
        result = cli("keygen", *args, "--passphrase-file", source, stdin=content if from_stdin else b"")
        assert result.code == 0
        private = Path("private.pem").read_bytes()
        assert private.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        assert public_of(private, b"correct horse") == Path("public.pem").read_bytes()
        # One wrong passphrase in 256 leaves a valid padding (RFC 8018 section 6.2), and then other words.
        with pytest.raises(ValueError, match=r"password|deserialize"):
            public_of(private, b"correct")
        assert "correct horse" not in result.stdout + result.stderr
        assert ("--passphrase-file" in result.stderr) is not from_stdin

    def test_it_is_encrypted_with_aes_256(self, cli: Cli) -> None:
        cli("keygen", "--passphrase-file", "-", stdin=b"correct horse")
        structure = openssl("asn1parse", "-in", "private.pem").decode()
        for name in ("PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc"):
            assert f":{name}\n" in structure

    def test_of_characters_outside_ascii(self, cli: Cli) -> None:
        cli("keygen", "--type", "ec", "--passphrase-file", "-", stdin="Schlüssel 🔑".encode())
        openssl("pkey", "-in", "private.pem", "-noout", "-passin", "stdin", stdin="Schlüssel 🔑\n".encode())

    def test_as_long_as_openssl_can_read(self, cli: Cli) -> None:
        assert cli("keygen", "--type", "ec", "--passphrase-file", "-", stdin=b"x" * 1023).code == 0
        openssl("pkey", "-in", "private.pem", "-noout", "-passin", "stdin", stdin=b"x" * 1023 + b"\n")
        result = cli("keygen", "--type", "ec", "--force", "--passphrase-file", "-", stdin=b"x" * 1024)
        assert (result.code, result.stdout) == (2, "")
        assert result.stderr == error(
            "The passphrase is longer than 1023 bytes, and OpenSSL could not read the key",
            "choose a shorter one; 20 random characters are plenty",
        )

    @pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
    def test_empty(self, cli: Cli, here: Path, content: bytes) -> None:
        result = cli("keygen", "--passphrase-file", "-", stdin=content)
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr == error("The passphrase is empty", "put it into the file, on one line")

    def test_given_as_the_options_value_is_not_shown(self, cli: Cli, here: Path) -> None:
        result = cli("keygen", "--passphrase-file", "correct horse")
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert "correct horse" not in result.stderr

    def test_there_must_be_a_terminal_to_ask_at(self, cli: Cli, here: Path) -> None:
        result = cli("keygen", "--encrypt")
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr == error(
            "--encrypt asks for a passphrase, and there is no terminal to ask at",
            "give --passphrase-file FILE, - for standard input",
        )

    @pytest.mark.posix("a shell closes it")
    def test_standard_input_may_be_closed(self, here: Path) -> None:
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM, "--encrypt"],
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert (done.returncode, done.stdout, listing(here)) == (2, "", {})
        assert done.stderr.startswith("✗   --encrypt asks for a passphrase, and there is no terminal to ask at\n")


# pexpect forks, and pytest-xdist has threads: from Python 3.12 on that is a warning.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.posix("a pseudo-terminal")
class TestPrompt:
    @pytest.fixture
    def terminal(self) -> Iterator[pexpect.spawn[str]]:
        """``keygen --encrypt`` at a real pseudo-terminal."""
        child = pexpect.spawn(
            sys.executable, [*PROGRAM[1:], "--encrypt", "--type", "ec"], encoding="utf-8", timeout=30
        )
        child.expect("New passphrase: ")
        yield child
        child.close(force=True)

    @staticmethod
    def rest(child: pexpect.spawn[str]) -> str:
        child.expect(pexpect.EOF)
        child.wait()
        return child.before or ""

    def test_it_is_asked_for_twice_and_never_echoed(self, terminal: pexpect.spawn[str]) -> None:
        terminal.sendline("correct horse")
        terminal.expect("The same again: ")
        between = terminal.before or ""
        terminal.sendline("correct horse")
        after = self.rest(terminal)
        assert terminal.exitstatus == 0
        assert "horse" not in between + after
        assert "type         EC P-256" in after
        assert has_mode("private.pem", 0o600)
        public = openssl("pkey", "-in", "private.pem", "-passin", "pass:correct horse", "-pubout")
        assert public == Path("public.pem").read_bytes()

    def test_two_that_differ_are_asked_for_again(self, terminal: pexpect.spawn[str], here: Path) -> None:
        terminal.sendline("correct horse")
        terminal.expect("The same again: ")
        terminal.sendline("correct house")
        terminal.expect("do not match")
        terminal.expect("New passphrase: ")
        assert listing(here) == {}
        terminal.sendline("battery staple")
        terminal.expect("The same again: ")
        terminal.sendline("battery staple")
        self.rest(terminal)
        assert terminal.exitstatus == 0
        openssl("pkey", "-in", "private.pem", "-noout", "-passin", "pass:battery staple")

    def test_an_empty_one_is_asked_for_again(self, terminal: pexpect.spawn[str], here: Path) -> None:
        terminal.sendline("")
        terminal.expect("New passphrase: ")
        assert listing(here) == {}

    def test_what_is_no_utf_8_is_said(self, terminal: pexpect.spawn[str], here: Path) -> None:
        os.write(terminal.child_fd, b"caf\xe9\n")
        said = self.rest(terminal)
        assert (terminal.exitstatus, listing(here)) == (2, {})
        assert "The passphrase typed is not text as this terminal should send it (UTF-8)" in said
        assert "caf" not in said

    def test_ctrl_c_is_130_and_silent(self, terminal: pexpect.spawn[str], here: Path) -> None:
        terminal.sendintr()
        said = self.rest(terminal)
        assert (terminal.exitstatus, listing(here)) == (130, {})
        assert said.replace("^C", "").strip() == ""

    def test_nobody_is_asked_for_the_passphrase_of_a_key_that_cannot_be_written(self, here: Path) -> None:
        write_private(here / "private.pem", b"mine")
        child = pexpect.spawn(sys.executable, [*PROGRAM[1:], "--encrypt"], encoding="utf-8", timeout=30)
        said = self.rest(child)
        assert child.exitstatus == 2
        assert "private.pem exists already, nothing was written" in said
        assert "passphrase" not in said

    def test_an_existing_key_asks_for_its_own(self, here: Path, ec_key: keys.PrivateKey) -> None:
        write_private(here / "bank.pem", ec_key.pem(b"correct horse"))
        args = [*PROGRAM[1:], "--public-from", "bank.pem"]
        child = pexpect.spawn(sys.executable, args, encoding="utf-8", timeout=30)
        child.expect("Passphrase of the private key: ")
        child.sendline("correct horse")
        assert "horse" not in self.rest(child)
        assert child.exitstatus == 0
        assert Path("public.pem").read_bytes() == ec_key.public.pem()


class TestPublicFrom:
    @pytest.mark.parametrize("form", FORMS | ENCRYPTED)
    def test_reads_what_openssl_writes(
        self, cli: Cli, here: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey, form: str
    ) -> None:
        sort, convert = (FORMS | ENCRYPTED)[form]
        key = rsa_key if sort == "rsa" else ec_key
        write_private(here / "bank.key", convert(key.pem()))
        options = ["--passphrase-file", "-"] if form in ENCRYPTED else []
        result = cli("keygen", "--public-from", "bank.key", *options, stdin=PASSPHRASE)
        assert result.stdout == (
            "public key   public.pem\n"
            f"type         {key.description}\n"
            f"fingerprint  {key.public.fingerprint()}\n"
            f"thumbprint   {key.public.thumbprint()}\n"
        )
        assert (result.code, result.stderr) == (0, NEXT.format(public="public.pem", private="bank.key"))
        assert sorted(listing(here)) == ["bank.key", "public.pem"]
        assert Path("public.pem").read_bytes() == public_of(key.pem())
        assert has_mode("public.pem", 0o644)

    @pytest.mark.parametrize("from_stdin", [False, True])
    def test_the_public_half_can_be_printed_alone(
        self, cli: Cli, here: Path, rsa_key: keys.PrivateKey, rsa_pem: Path, from_stdin: bool
    ) -> None:
        source = "-" if from_stdin else str(rsa_pem)
        result = cli("keygen", "--public-from", source, "--public-key", "-", stdin=rsa_key.pem())
        public = public_of(rsa_key.pem()).decode()
        assert (result.code, result.stdout, result.stderr, listing(here)) == (0, public, "", {})

    def test_standard_output_is_not_both_pem_and_json(self, cli: Cli, here: Path, rsa_pem: Path) -> None:
        result = cli("keygen", "--public-from", rsa_pem, "--public-key", "-", "-o", "json")
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr == error(
            "Standard output cannot be both the public key and JSON", "leave -o json out, or give a file"
        )

    def test_from_standard_input(self, cli: Cli, here: Path, rsa_key: keys.PrivateKey) -> None:
        result = cli("keygen", "--public-from", "-", "-o", "json", "--public-key", "p.pem", stdin=rsa_key.pem())
        assert result.code == 0
        assert json.loads(result.stdout) == {
            "public_key": "p.pem",
            "type": "RSA 2048",
            "fingerprint": rsa_key.public.fingerprint(),
            "thumbprint": rsa_key.public.thumbprint(),
            "jwk": rsa_key.public.jwk(),
        }
        assert listing(here) == {"p.pem": rsa_key.public.pem()}

    def test_from_a_tilde(self, cli: Cli, here: Path, ec_key: keys.PrivateKey) -> None:
        write_private(here / "bank.pem", ec_key.pem())
        assert cli("keygen", "--public-from", "~/bank.pem", env=at_home(here)).code == 0

    @pytest.mark.parametrize(
        ("stdin", "message", "hint"),
        [
            (b"nothing", "bank.pem is encrypted, and no passphrase was given", NO_PASSPHRASE),
            (
                b"wrong",
                "The passphrase does not open bank.pem",
                "check the passphrase; if it is right, the file is damaged",
            ),
        ],
    )
    def test_passphrase_errors(
        self, cli: Cli, here: Path, ec_key: keys.PrivateKey, stdin: bytes, message: str, hint: str
    ) -> None:
        write_private(here / "bank.pem", ec_key.pem(b"correct horse"))
        options = ["--passphrase-file", "-"] if stdin == b"wrong" else []
        result = cli("keygen", "--public-from", "bank.pem", *options, stdin=stdin)
        assert (result.code, result.stdout, result.stderr) == (3, "", error(message, hint))
        assert sorted(listing(here)) == ["bank.pem"]

    def test_a_damaged_key_is_caught_though_nothing_is_signed(
        self, cli: Cli, here: Path, rsa_key: keys.PrivateKey
    ) -> None:
        write_private(here / "bank.pem", pem_of(damaged_rsa(rsa_key)))
        result = cli("keygen", "--public-from", "bank.pem")
        assert (result.code, result.stdout) == (3, "")
        assert result.stderr == error(
            "bank.pem looks like a private key, but it is damaged or of an unknown kind",
            "look at it with: openssl pkey -in FILE -noout -check, or take it from a backup",
        )

    @pytest.mark.posix("modes")
    def test_a_key_that_others_can_read_is_a_warning(self, cli: Cli, here: Path, ec_key: keys.PrivateKey) -> None:
        write_private(here / "bank.pem", ec_key.pem()).chmod(0o644)
        result = cli("keygen", "-q", "--public-from", "bank.pem")
        assert result.code == 0
        assert result.stderr == "!   Others can read bank.pem (mode 0644)\n    chmod 600 bank.pem\n"

    @pytest.mark.posix("modes")
    def test_a_key_that_others_can_write_is_an_error_with_an_override(
        self, cli: Cli, here: Path, ec_key: keys.PrivateKey
    ) -> None:
        """The bank would be given the public half of a key that anybody may have put there."""
        write_private(here / "bank.pem", ec_key.pem()).chmod(0o620)
        result = cli("keygen", "--public-from", "bank.pem")
        assert (result.code, result.stdout) == (3, "")
        assert result.stderr == error(
            "Others can write the private key bank.pem (mode 0620), so nobody knows whose key it is",
            "chmod 600 bank.pem, or use --allow-writable-key if you know why it is so",
        )
        assert cli("keygen", "--public-from", "bank.pem", "--allow-writable-key").code == 0
        assert Path("public.pem").read_bytes() == ec_key.public.pem()

    @pytest.mark.parametrize("place", ["bank.pem", "./bank.pem", "../here/bank.pem", "~/bank.pem"])
    @pytest.mark.parametrize("force", [[], ["--force"]])
    def test_a_private_key_is_never_overwritten_with_its_public_half(
        self, cli: Cli, here: Path, ec_key: keys.PrivateKey, place: str, force: list[str]
    ) -> None:
        write_private(here / "bank.pem", ec_key.pem())
        result = cli("keygen", "--public-from", "bank.pem", "--public-key", place, *force, env=at_home(here))
        assert (result.code, result.stdout, listing(here)) == (2, "", {"bank.pem": ec_key.pem()})
        assert result.stderr == error(
            "The public key cannot go into the file of the private one", "choose another --public-key"
        )

    @pytest.mark.parametrize(
        "args", [["--type", "ec"], ["--bits", "2048"], ["--encrypt"], ["--private-key", "private.pem"]]
    )
    def test_options_of_a_new_key_are_refused(self, cli: Cli, here: Path, args: list[str]) -> None:
        result = cli("keygen", "--public-from", "bank.pem", *args)
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr == error(f"--public-from makes no new key, so {args[0]} means nothing", "leave it out")

    def test_an_existing_public_key_is_kept_without_force(
        self, cli: Cli, here: Path, ec_key: keys.PrivateKey
    ) -> None:
        write_private(here / "bank.pem", ec_key.pem())
        (here / "public.pem").write_bytes(b"mine")
        result = cli("keygen", "--public-from", "bank.pem")
        assert (result.code, result.stdout, (here / "public.pem").read_bytes()) == (2, "", b"mine")
        assert cli("keygen", "--public-from", "bank.pem", "--force").code == 0
        assert (here / "public.pem").read_bytes() == ec_key.public.pem()


class TestPlaces:
    def test_paths_in_its_hints_are_quoted(self, cli: Cli, here: Path) -> None:
        (here / "my key.pem").write_bytes(b"mine")
        result = cli("keygen", "--type", "ec", "--private-key", "my key.pem", "--public-key", "its public.pem")
        quoted = [quote(name) for name in ("my key.pem", "new-my key.pem", "its public.pem")]
        assert result.stderr.endswith(
            "Next: for its public half: banno-creds keygen --public-from {}; for another pair: --private-key {} "
            "--public-key {}\n".format(*quoted)
        )

    @pytest.mark.parametrize(
        ("there", "words"),
        [
            (["private.pem"], "private.pem exists"),
            (["public.pem"], "public.pem exists"),
            (["private.pem", "public.pem"], "private.pem and public.pem exist"),
        ],
    )
    def test_existing_files_are_kept_without_force_and_replaced_with_it(
        self, cli: Cli, here: Path, there: list[str], words: str
    ) -> None:
        for name in there:
            (here / name).write_bytes(b"mine")
            (here / name).chmod(0o644)
        result = cli("keygen", "--type", "ec")
        assert (result.code, result.stdout) == (2, "")
        assert result.stderr == error(
            f"{words[0].upper() + words[1:] if words.isalpha() else words} already, nothing was written",
            {
                "private.pem": "for its public half: banno-creds keygen --public-from private.pem; for another pair: "
                "--private-key new-private.pem --public-key public.pem",
                "public.pem": "choose other paths: --private-key private.pem --public-key new-public.pem",
                "private.pem public.pem": "choose other paths: --private-key new-private.pem --public-key "
                "new-public.pem",
            }[" ".join(there)],
        )
        assert listing(here) == dict.fromkeys(there, b"mine")
        assert cli("keygen", "--type", "ec", "--force").code == 0
        kept = [f"{name.removesuffix('.pem')}-sha256-{sha256(b'mine').hexdigest()[:16]}.pem" for name in there]
        assert sorted(listing(here)) == sorted(["private.pem", "public.pem", *kept])
        assert [listing(here)[name] for name in kept] == [b"mine"] * len(there)
        assert all(has_mode(name, 0o600) for name in [*kept, "private.pem"] if name.startswith("private"))

    def test_no_wrong_half_can_remain(self, cli: Cli) -> None:
        for _ in range(3):
            cli("keygen", "--type", "ec", "--force")
            assert public_of(Path("private.pem").read_bytes()) == Path("public.pem").read_bytes()

    @pytest.mark.parametrize("option", ["--private-key", "--public-key"])
    @pytest.mark.parametrize("force", [[], ["--force"]])
    def test_a_folder_is_never_replaced(self, cli: Cli, here: Path, option: str, force: list[str]) -> None:
        folder = here / "folder"
        folder.mkdir()
        result = cli("keygen", "--type", "ec", option, folder, *force)
        assert (result.code, result.stdout, names(here)) == (2, "", ["folder"])
        assert result.stderr == error(f"{folder} is a directory, and no file can be put there", "choose another path")
        assert folder.is_dir()

    @pytest.mark.posix("links, pipes and devices with paths")
    @pytest.mark.parametrize("option", ["--private-key", "--public-key"])
    @pytest.mark.parametrize("force", [[], ["--force"]])
    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ("link.pem", "{} is a symbolic link, and no file can be put there"),
            ("link-to-folder", "{} is a symbolic link, and no file can be put there"),
            ("dangling", "{} is a symbolic link, and no file can be put there"),
            ("fifo", "{} is no regular file, and no file can be put there"),
            ("/dev/full", "{} is no regular file, and no file can be put there"),
            ("/dev/stdout", "{} is a symbolic link, and no file can be put there"),
        ],
    )
    def test_what_is_no_file_is_never_replaced_nor_followed(
        self, cli: Cli, here: Path, tmp_path: Path, option: str, force: list[str], place: str, message: str
    ) -> None:
        (tmp_path / "target").write_bytes(b"mine")
        (here / "link.pem").symlink_to(tmp_path / "target")
        (here / "link-to-folder").symlink_to(tmp_path)
        (here / "dangling").symlink_to(tmp_path / "nowhere")
        os.mkfifo(here / "fifo")
        before = names(here), names(tmp_path)
        path = str(here / place)
        result = cli("keygen", "--type", "ec", option, path, *force)
        assert (result.code, result.stdout) == (2, "")
        assert result.stderr == error(message.format(path), "choose another path")
        assert (names(here), names(tmp_path)) == before
        assert (tmp_path / "target").read_bytes() == b"mine"
        assert Path("/dev/full").is_char_device()

    @pytest.mark.parametrize(("option", "place"), [("--private-key", "no/a.pem"), ("--public-key", "~nobody-/a.pem")])
    def test_a_missing_folder_is_named(self, cli: Cli, here: Path, option: str, place: str) -> None:
        result = cli("keygen", option, place)
        folder = Path(place).parent
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr == error(
            f"There is no folder {folder} to put a.pem into", "make it first, or choose another"
        )

    @pytest.mark.parametrize("option", ["--private-key", "--public-key"])
    def test_standard_output_is_no_file(self, cli: Cli, here: Path, option: str) -> None:
        result = cli("keygen", option, "-")
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr == error(f"{option} is written to a file, and - is none", "give a file's path")

    def test_a_private_key_is_never_printed(self, cli: Cli, here: Path, rsa_pem: Path) -> None:
        result = cli("keygen", "--public-from", rsa_pem, "--private-key", "-", "--public-key", "-")
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr == error("--private-key is written to a file, and - is none", "give a file's path")

    @pytest.mark.parametrize(
        "place",
        [
            *("private.pem", "./private.pem", "../here/private.pem"),
            pytest.param("loop/private.pem", marks=pytest.mark.posix("a symbolic link")),
        ],
    )
    def test_both_keys_never_go_into_one_file(self, cli: Cli, here: Path, place: str) -> None:
        if place.startswith("loop"):
            (here / "loop").symlink_to(here)
        before = names(here)
        result = cli("keygen", "--public-key", place, "--force")
        assert (result.code, result.stdout, names(here)) == (2, "", before)
        assert result.stderr == error("Both keys cannot go into one file", "choose another --public-key")

    @pytest.mark.posix("a symbolic link")
    def test_a_link_to_itself_is_no_bug(self, cli: Cli, here: Path) -> None:
        (here / "loop").symlink_to("loop")
        result = cli("keygen", "--public-key", "loop/public.pem")
        assert (result.code, result.stdout) == (2, "")
        assert result.stderr == error(
            "There is no folder loop to put public.pem into", "make it first, or choose another"
        )

    def test_bits_are_for_rsa(self, cli: Cli, here: Path) -> None:
        result = cli("keygen", "--type", "ec", "--bits", "3072")
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr == error("--bits is for RSA; a P-256 key has its size", "leave --bits out")

    @pytest.mark.parametrize("args", [["--bits", "1024"], ["--type", "ed25519"], ["extra"]])
    def test_usage_errors(self, cli: Cli, here: Path, args: list[str]) -> None:
        result = cli("keygen", *args)
        assert (result.code, result.stdout, listing(here)) == (2, "", {})
        assert result.stderr.endswith("\n    Next: banno-creds keygen --help\n")


class TestReplaced:
    """A key that the bank may have is never lost."""

    @pytest.mark.parametrize("encrypted", [False, True])
    def test_the_old_pair_is_kept_under_its_thumbprint(self, cli: Cli, here: Path, encrypted: bool) -> None:
        old = keys.generate("ec")
        before = {"private.pem": old.pem(PASSPHRASE if encrypted else None), "public.pem": old.public.pem()}
        for name, content in before.items():
            (here / name).write_bytes(content)
            (here / name).chmod(0o644)
        result = cli("keygen", "--type", "ec", "--force", "-o", "json", "-q")
        kept = [f"{name}-{old.public.thumbprint()}.pem" for name in ("private", "public")]
        assert (result.code, json.loads(result.stdout)["kept"]) == (0, kept)
        assert [listing(here)[name] for name in kept] == list(before.values())
        assert has_mode(kept[0], 0o600)
        assert len(listing(here)) == 4
        assert result.stderr == (
            f"!   The bank may have the old key ({old.public.fingerprint()}), which is kept in {kept[0]}\n"
            f"    until it has the new one, sign with: --private-key {kept[0]}\n"
        )
        assert no_secret(result)

    def test_no_kept_key_is_ever_replaced_by_another(self, cli: Cli, here: Path) -> None:
        made = []
        for _ in range(3):
            cli("keygen", "--type", "ec", "--force")
            made.append(Path("private.pem").read_bytes())
        assert sorted(made) == sorted(content for name, content in listing(here).items() if "private" in name)
        # The same again, in another form: it gets a name of its own.
        name = next(name for name in names(here) if name.startswith("private-"))
        write_private(here / "private.pem", keys.load_private_key((here / name).read_bytes(), "x").pem(PASSPHRASE))
        (here / "public.pem").write_bytes(keys.load_private_key((here / name).read_bytes(), "x").public.pem())
        assert cli("keygen", "--type", "ec", "--force").code == 0
        assert {name, name.replace(".pem", "-2.pem")} <= set(names(here))

    def test_a_public_key_of_another_pair_is_kept(self, cli: Cli, here: Path, ec_key: keys.PrivateKey) -> None:
        old = keys.generate("ec").public
        (here / "public.pem").write_bytes(old.pem())
        write_private(here / "mine.pem", ec_key.pem())
        refused = cli("keygen", "--public-from", "mine.pem")
        assert refused.code == 2
        assert refused.stderr == error(
            "public.pem exists already, nothing was written",
            "choose another path: --public-key new-public.pem; or print it: --public-key -",
        )
        for _ in range(2):  # the second time it is the same key, of which nothing is lost
            assert cli("keygen", "--public-from", "mine.pem", "--force").code == 0
            assert listing(here) == {
                "mine.pem": ec_key.pem(),
                "public.pem": ec_key.public.pem(),
                f"public-{old.thumbprint()}.pem": old.pem(),
            }

    def test_what_cannot_be_kept_is_not_replaced(self, cli: Cli, here: Path) -> None:
        (here / "private.pem").write_bytes(bytes(1024 * 1024 + 1))
        result = cli("keygen", "--force")
        assert (result.code, result.stdout, names(here)) == (2, "", ["private.pem"])
        assert result.stderr.startswith("✗   private.pem cannot be kept, so it is not replaced: ")

    def test_a_key_that_comes_in_between_is_not_replaced(
        self, cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from banno_creds.cli import keygen as command

        def slow(*args: object) -> keys.PrivateKey:
            write_private(here / "private.pem", b"another's, made meanwhile")
            return keys.generate("ec")

        write_private(here / "private.pem", b"mine")
        monkeypatch.setattr(command, "_new", slow)
        result = cli("keygen", "--force")
        assert (result.code, listing(here)) == (2, {"private.pem": b"another's, made meanwhile"})
        assert "appeared or changed while the key was being made, nothing was written" in result.stderr

    @pytest.mark.posix("a pseudo-terminal")
    @pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
    @pytest.mark.parametrize(("answer", "options", "code"), [("n", [], 2), ("y", [], 0), (None, ["--yes"], 0)])
    def test_it_asks_at_a_terminal(self, here: Path, answer: str | None, options: list[str], code: int) -> None:
        write_private(here / "private.pem", b"mine")
        child: pexpect.spawn[str] = pexpect.spawn(
            PROGRAM[0], [*PROGRAM[1:], "--type", "ec", "--force", *options], encoding="utf-8", timeout=60
        )
        if answer is not None:
            child.expect(r"only the bank can change that\..*Replace, and keep the old as .*\[y/N\]: ")
            child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code
        assert ((here / "private.pem").read_bytes() == b"mine") == (code == 2)
        assert b"mine" in listing(here).values()


class TestBothOrNeither:
    """Failures that are real: of the system, and signals to a process."""

    @pytest.mark.posix("/proc")
    @pytest.mark.parametrize("force", [False, True])
    def test_a_file_system_that_takes_no_files(self, cli: Cli, here: Path, force: bool) -> None:
        before = self.existing(here) if force else {}
        result = cli("keygen", "--public-key", "/proc/public.pem", *["--force"] * force)
        assert (result.code, result.stdout, listing(here)) == (2, "", before)
        assert re.fullmatch(
            r"✗   Cannot write /proc/public\.pem: .+; nothing was changed\n"
            r"    Next: check that you may write in that folder and that the disk is not full\n",
            result.stderr,
        )

    @pytest.mark.posix("a limit of a file's size")
    @pytest.mark.parametrize("force", [False, True])
    @pytest.mark.parametrize("most", [0, 100, 200])
    def test_a_file_that_may_not_grow(self, cli: Cli, here: Path, force: bool, most: int) -> None:
        """As on a full disk, the write ends in the middle."""
        before = self.existing(here) if force else {}
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            result = cli("keygen", "--type", "ec", *["--force"] * force)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (result.code, result.stdout, listing(here)) == (2, "", before)
        at = r"private-sha256-\w{16}\.pem" if force and not most else r"private\.pem"
        assert re.fullmatch(
            rf"✗   Cannot write {at}: File too large; nothing was changed\n"
            "    Next: check that you may write in that folder and that the disk is not full\n",
            result.stderr,
        )

    @pytest.mark.posix("/dev/full")
    def test_a_result_that_cannot_be_told_is_said(self, here: Path) -> None:
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(PROGRAM, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("✗   The result could not be written to standard output: No space left")
        assert sorted(listing(here)) == ["private.pem", "public.pem"]

    @staticmethod
    def existing(here: Path) -> dict[str, bytes]:
        files = {"private.pem": b"my old private key", "public.pem": b"my old public key"}
        for name, content in files.items():
            write_private(here / name, content)
        return files

    # Runs keygen, and stops at the numbered call of the function named, until a line comes on standard input.
    DRIVER = """
import os, sys
from pathlib import Path
owner, name, number = {"replace": os, "open": os, "fsync": os}[sys.argv[1]], sys.argv[1], int(sys.argv[2])
original, calls = getattr(owner, name), []
def stopping(*args, **kwargs):
    calls.append(args)
    if len(calls) == number:
        os.write(2, b"@")
        while os.read(0, 1) != b"\\n":
            pass
    return original(*args, **kwargs)
import banno_creds.cli.keygen, banno_creds.tokens.client_credentials
import banno_creds.storage.secret_files, banno_creds.jose.keys
setattr(owner, name, stopping)
sys.argv = ["banno-creds", "keygen", "--type", "ec", "-q", *sys.argv[3:]]
from banno_creds.__main__ import main
main()
"""

    def interrupted(self, number: signal.Signals, at: str, call: int, *args: str) -> tuple[int, str, str]:
        child = subprocess.Popen(
            [sys.executable, "-c", self.DRIVER, at, str(call), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with child:
            assert child.stderr is not None
            assert child.stderr.read(1) == b"@"
            child.send_signal(number)
            out, err = child.communicate(b"\n", timeout=60)
        return child.returncode, out.decode(), err.decode()

    @pytest.mark.posix("signals to another process")
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    @pytest.mark.parametrize("force", [False, True])
    @pytest.mark.parametrize(
        # The first file that is opened is the kernel's, so that no core is left.
        ("at", "call"),
        [("open", 2), ("fsync", 1), ("fsync", 2), ("replace", 1), ("replace", 2), ("fsync", 3)],
    )
    def test_a_signal_leaves_nothing_behind_and_everything_as_it_was(
        self, here: Path, number: signal.Signals, code: int, force: bool, at: str, call: int
    ) -> None:
        before = self.existing(here) if force else {}
        said = self.interrupted(number, at, call, *["--force"] * force)
        assert (said, listing(here)) == ((code, "", ""), before)

    @pytest.mark.posix("signals to another process")
    @pytest.mark.parametrize("force", [False, True])
    def test_a_closed_terminal_ends_it_with_both_files_whole(self, here: Path, force: bool) -> None:
        before = self.existing(here) if force else {}
        code, out, _ = self.interrupted(signal.SIGHUP, "replace", 2, *["--force"] * force)
        assert (code, out) == (-signal.SIGHUP, "")
        assert {"private.pem", "public.pem"} <= listing(here).keys()
        assert not listing(here).items() & before.items()
        assert sorted(before.values()) == sorted(
            content for name, content in listing(here).items() if "-sha256-" in name
        )
        assert public_of(Path("private.pem").read_bytes()) == Path("public.pem").read_bytes()
