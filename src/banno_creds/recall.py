"""The answer to a repeated command line, given before anything else is loaded.

``banno-creds token`` in a loop asks for the same token again and again. The cache keeps the answer beside the token,
under a hash of everything that decides it: the arguments, our environment variables, the current folder. The next
time, the answer is given as it is if the key, the configuration and the token's entry in the cache have not changed,
and the token is good for long enough. In any doubt there is no answer, and the command line is parsed as usual. This
is no second parser: arguments are compared, and their meaning does not matter.

It saves importing click, dataclasses, pathlib and json, which take three quarters of such a run.
"""

from __future__ import annotations

import os
import stat
import time

from banno_creds import __version__
from banno_creds.storage import own_files

TYPE_CHECKING = False  # this module does not even import typing
if TYPE_CHECKING:
    from collections.abc import Sequence

    Life = tuple[str, str, str, str]

# hashlib would load OpenSSL. These modules are its own fallback, and `random` uses them as well.
try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256

_FORMAT = f"banno-creds {__version__} answer 3"
# They decide whom we trust, and which way a request goes.
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
WAY = ("SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES)
# They decide which key a URI means, where it is held elsewhere.
HOLDERS = (
    *("BANNO_CREDS_PKCS11_MODULE", "SSH_AUTH_SOCK"),
    *("VAULT_ADDR", "VAULT_AGENT_ADDR", "VAULT_NAMESPACE", "BAO_ADDR", "BAO_AGENT_ADDR", "BAO_NAMESPACE"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"),
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    # Of the account, in which an alias has another key.
    *("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    # By which modules of PKCS #11 find their tokens.
    *("SOFTHSM2_CONF", "OPENSC_CONF", "YUBIHSM_PKCS11_CONF", "TPM2_PKCS11_STORE", "CS_PKCS11_R3_CFG"),
    *("ChrystokiConfigurationPath", "P11_KIT_SERVER_ADDRESS", "PKCS11_PROXY_SOCKET"),
)
_HOMES = ("HOME", "USERPROFILE", "HOMEPATH", "APPDATA", "LOCALAPPDATA")
_FOLDERS = (*_HOMES, "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
_MOST_BYTES = 16 * 1024 * 1024  # as of a configuration file
_LARGE = 128 * 1024
_MOST_ANSWERS = 100  # another folder, variable or option makes another answer
_STALE = 3600  # seconds
_NO_CLOCK = "-"
_CLOCK_SET = 2  # seconds; a smaller step is only a correction of the clock


def answer(arguments: Sequence[str]) -> bytes | None:
    """Return the text that was kept for a command line; None if there is none, or if anything has changed."""
    try:
        folder = own_files.cache_folder()
        if folder is None:
            return None
        own_files.check_folder(folder)
        asked = _name(arguments)
        head, text = _parts(own_files.read(os.path.join(folder, asked)))
        form, name, entry, identity, began, started, seconds, good_for, *files = head
        # A file that was renamed holds the answer to another command line.
        if form != _FORMAT or name != asked:
            return None
        now = time.time()
        age = own_files.age(now, float(began), (started, float(seconds)))
        if age is None or age > float(good_for):
            return None
        # The clock was set back: a time that the answer names would be too late by now.
        if age - (now - float(began)) > _CLOCK_SET:
            return None
        if own_files.identity(os.path.join(folder, entry)) != identity:
            return None
        if any(look(line.partition(" ")[2]) != line for line in files):
            return None
    except (OSError, ValueError):
        return None
    return text


def remember(
    arguments: Sequence[str], entry: str, identity: str, life: Life, files: Sequence[str], text: str
) -> None:
    """Keep the answer to a command line; if that fails, the next run is slower, and nothing else.

    Args:
        arguments: the command line, without the program's name.
        entry: the path of the token's entry in the cache; the folder exists.
        identity: the entry's `own_files.identity`, from before it was read.
        life: see `life_of`.
        files: the `look` at each file that the answer depends on (key, configuration), from before it was read.
        text: the text for stdout, with the last line end.
    """
    folder, entry_name = os.path.split(entry)
    try:
        name = _name(arguments)
        head = [_FORMAT, name, entry_name, identity, *life, *files]
        if any("\n" in line or not line for line in head):
            return
        kept = os.fsencode("\n".join(head) + "\n\n" + text)
        content = sha256(kept).hexdigest().encode("ascii") + b"\n" + kept
        own_files.write(os.path.join(folder, name), content, synced=False)
        sweep(folder)
    except OSError:
        return


def sweep(folder: str) -> None:
    """Remove the answers in the cache's folder that are no longer valid, and the oldest if there are too many.

    Raises:
        OSError: it cannot be read.
    """
    now, good = time.time(), []
    for file in os.listdir(folder):
        if file.endswith(own_files.ANSWER) and own_files.is_of_the_cache(file):
            path = os.path.join(folder, file)
            try:
                age = abs(now - os.lstat(path).st_mtime)
                if age <= _STALE and _has_entry(path, folder):
                    good.append((age, path))
                else:
                    own_files.remove(path)
            except OSError:
                continue  # another process was quicker, or it is no file
    for _, path in sorted(good)[_MOST_ANSWERS:]:
        try:  # noqa: SIM105 - as in `own_files`
            own_files.remove(path)
        except OSError:
            pass


def _has_entry(path: str, folder: str) -> bool:
    """Return whether an answer's token is still in the cache."""
    try:
        form, _, entry, identity, *_ = _parts(own_files.read(path))[0]
        return form == _FORMAT and own_files.identity(os.path.join(folder, entry)) == identity
    except ValueError:
        return False


def life_of(requested_at: float, good_for: float) -> Life:
    """Return, for `remember`, when a token was requested by two clocks, and how long it is good from then."""
    started, seconds = own_files.uptime()
    return repr(requested_at), started or _NO_CLOCK, repr(seconds - (time.time() - requested_at)), repr(good_for)


def _parts(content: bytes) -> tuple[list[str], bytes]:
    """Return the lines at the head of an answer's file, and its text; ValueError if it is broken."""
    digest, _, kept = content.partition(b"\n")
    if digest.decode("ascii") != sha256(kept).hexdigest():
        raise ValueError("it is broken")
    head, _, text = kept.partition(b"\n\n")
    return os.fsdecode(head).split("\n"), text


def _name(arguments: Sequence[str]) -> str:
    """Return the name of an answer's file: a hash of everything that decides what a command line means."""
    environment = sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith("BANNO_CREDS_") or name in _FOLDERS or name in WAY or name in HOLDERS
    )
    parts = [_FORMAT, os.getcwd(), str(len(arguments)), *arguments, *environment]
    name: str = sha256(b"\0".join(os.fsencode(part) for part in parts)).hexdigest()
    return name + own_files.ANSWER


def look(path: str) -> str:
    """Describe a file that an answer depends on, in one line; the file may be missing.

    The line has a hash of its content, its mode and owner, those of its folder, and its path.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, such as a pipe, or too large.
    """
    path = os.path.abspath(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return f"missing {path}"
    # Checked before it is opened: the content of a pipe is for another reader.
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        content = os.read(descriptor, min(status.st_size + 1, _MOST_BYTES))
    finally:
        os.close(descriptor)
    if len(content) != status.st_size:
        raise ValueError("it is too large")
    folder = os.stat(os.path.dirname(path))
    rights = f"{status.st_mode:o}.{status.st_uid}.{folder.st_mode:o}.{folder.st_uid}"
    return f"{_digest(content)}.{rights} {path}"


def _digest(content: bytes) -> str:
    """Return a hash of a file's content; of a large one, such as 10,000 profiles, by the quicker BLAKE2."""
    digest = sha256
    if len(content) > _LARGE:
        try:
            from _blake2 import blake2b as digest
        except ImportError:
            from hashlib import blake2b as digest
    return str(digest(content).hexdigest())
