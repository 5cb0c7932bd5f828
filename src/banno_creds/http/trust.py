"""Which certificate authorities are trusted: those of a CA bundle, else those of the operating system's store."""

from __future__ import annotations

import os
import ssl
import stat
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from banno_creds.errors import BannoCredsError, ConfigurationError
from banno_creds.http.tls import in_steps
from banno_creds.text import printable, setting, system_words, unseen
from banno_creds.threads import no_fork
from banno_creds.times import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

_MOST_BYTES = 16 * 1024 * 1024  # all the authorities of the world have less than one


class Trust:
    """The trusted certificate authorities, read when they are first needed; several threads may share them.

    Args:
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.
    """

    def __init__(self, ca_bundle: Path | None) -> None:
        self._ca_bundle = ca_bundle
        self._context: ssl.SSLContext | None = None
        self._is_part = False
        self._process = 0  # the one that made the context
        self._lock = threading.Lock()

    @property
    def is_bundle(self) -> bool:
        """Whether a CA bundle was given."""
        return self._ca_bundle is not None

    def context(self) -> ssl.SSLContext:
        """Return the TLS context that trusts them.

        Raises:
            ConfigurationError: the CA bundle cannot be read.
        """
        context = self._usable()
        if context is None:  # a forked child must not need a lock for them that another thread held
            with no_fork(), self._lock:
                context = self._usable()
                if context is None:
                    if self._ca_bundle is None:
                        context, self._is_part = system_store()
                    else:
                        context = read_bundle(self._ca_bundle)
                    self._context, self._process = context, os.getpid()
        return context

    def _usable(self) -> ssl.SSLContext | None:
        """Return the context; None if it has to be made. Truststore's has a lock, which a handshake holds."""
        is_own = self._ca_bundle is not None or self._process == os.getpid()
        return self._context if is_own else None

    def widen(self, failed: ssl.SSLContext | None = None) -> bool:
        """Trust the operating system's whole store from now on; True if only a part of it was trusted before.

        Then a certificate that was not trusted may be trusted now. ``failed`` is the context that did not trust it,
        where another thread may have widened the store since.
        """
        with no_fork(), self._lock:
            before = failed or self._context
            if self._context is before and self._is_part:
                self._context, self._is_part = _whole_store(), False
            return self._context is not before

    def forget(self) -> None:
        """Free the memory of the certificates."""
        self._context = None

    def advice(self, verify_code: int, clock: Callable[[], float] = time.time) -> str | None:
        """Return what to do about an untrusted certificate, if these authorities say more than OpenSSL's code."""
        expired = verify_code == _EXPIRED
        if verify_code not in (*_UNKNOWN_ISSUER, _EXPIRED):
            return None
        if self._ca_bundle is not None:
            return _shortcoming(
                f"{setting('ca_bundle')} {printable(self._ca_bundle)}", self._ca_bundle, clock(), expired
            )
        named = os.environ.get("SSL_CERT_FILE")
        if named:
            return _shortcoming(f"SSL_CERT_FILE {printable(named)}", Path(named), clock(), expired)
        others = ((name, os.environ.get(name)) for name in _OTHERS_VARIABLES)
        other = next(((name, value) for name, value in others if value and not _is_the_systems(value)), None)
        if other is None or expired:
            return None
        from banno_creds.shells import quote

        name, value = other
        shown = quote(printable(value))
        return f"{name} is not read here: if it has the authority, add {setting('ca_bundle')} {shown}"

    def name(self) -> str:
        """Return the name and the place of the trust store."""
        if self._ca_bundle is not None:
            return f"{setting('ca_bundle')} {printable(self._ca_bundle)}"
        if not _is_kept_in_files():
            more = os.environ.get("SSL_CERT_FILE")
            added = f" and SSL_CERT_FILE {printable(more)}{_absence(more)}" if more else ""
            return f"the operating system's trust store{added}"
        paths = ssl.get_default_verify_paths()
        named = [(name, os.environ.get(name)) for name in (paths.openssl_cafile_env, paths.openssl_capath_env)]
        settings = [f"{name} {printable(value)}{_absence(value)}" for name, value in named if value]
        if settings:
            return " and ".join(settings)
        place = paths.cafile or paths.capath
        return f"the operating system's trust store{f' {printable(place)}' if place else ''}"


# Where other programs find a CA bundle.
_OTHERS_VARIABLES = (
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT"),
)


def _is_the_systems(path: str) -> bool:
    file = ssl.get_default_verify_paths().cafile or ""
    return os.path.realpath(path) == os.path.realpath(file)


# OpenSSL's verify codes (x509_vfy.h): expired; and an issuer that is not known, in five ways.
_EXPIRED = 10
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)
_MOST_LOOKED_AT = 500  # certificates


def _shortcoming(name: str, path: Path, now: float, expired: bool) -> str | None:  # noqa: FBT001
    """Return what a file of authorities lacks, in words; None if that cannot be told."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return f"{name} is not there: correct it, or unset it"
    except OSError as failure:
        return f"{name} cannot be read: {system_words(failure)}"
    if stat.S_ISDIR(status.st_mode):
        return None if _is_hashed(path) else f"{name} is a folder: name a file, or a folder made by openssl rehash"
    if not stat.S_ISREG(status.st_mode):
        return None  # a pipe can be read once
    from cryptography import x509

    from banno_creds.jose.public_keys import certificates_in
    from banno_creds.storage.secret_files import read_file

    try:
        content = read_file(path, most=_MOST_BYTES)
        found = [x509.load_der_x509_certificate(each) for each in certificates_in(content)[:_MOST_LOOKED_AT]]
    except (OSError, ValueError, BannoCredsError):
        found = []
    if not found:
        what = "is empty" if status.st_size == 0 else "holds no certificate"
        return f"{name} {what}: name a file of PEM certificates"
    if expired and all(each.not_valid_after_utc.timestamp() < now for each in found):
        date = utc(int(found[0].not_valid_after_utc.timestamp()))
        return f"the certificate of {_subject(found[0])} in {name} ended at {date}: name its successor"
    if expired or any(each.subject == each.issuer and _is_authority(each) for each in found):
        return None
    authority = next(filter(_is_authority, found), None)
    if authority is None:
        return f"{name} has the certificate of {_subject(found[0])}, which is no authority: name the authority's"
    issuer = printable(authority.issuer.rfc4514_string(), 80)
    return f"{name} has the intermediate authority {_subject(authority)} alone: add the root that issued it, {issuer}"


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return certificate.subject == certificate.issuer  # as of version 1


def _subject(certificate: x509.Certificate) -> str:
    return printable(certificate.subject.rfc4514_string(), 80) or "nobody"


def read_bundle(ca_bundle: Path) -> ssl.SSLContext:
    """Return a context that trusts a CA bundle's authorities."""
    context = _trusting_nobody()
    fault = None
    try:
        if not ca_bundle.is_dir():
            fault = _read_file(context, ca_bundle)
        elif _is_hashed(ca_bundle):
            context.load_verify_locations(capath=str(ca_bundle))
        else:
            fault = "it is a folder without hashed certificates"
    except (OSError, ValueError) as failure:
        fault = unseen(str(ca_bundle)) or getattr(failure, "strerror", None) or str(failure)
    if fault:
        raise ConfigurationError(
            f"the CA bundle {ca_bundle} cannot be read: {fault}",
            hint="name a file of PEM certificates, or a folder made by: openssl rehash",
            rule="configuration.invalid",
        )
    return context


def _read_file(context: ssl.SSLContext, ca_bundle: Path) -> str | None:
    """Trust the certificates in a file: PEM, or any other form that people have; return what is wrong with it."""
    # OpenSSL passes over the first certificate in silence if a byte-order mark is before it. A pipe can be read once.
    if not ca_bundle.exists() or (ca_bundle.is_file() and not _has_mark(ca_bundle)):
        with suppress(ssl.SSLError):
            context.load_verify_locations(cafile=str(ca_bundle))
            return None
    from banno_creds.jose.public_keys import certificates_in
    from banno_creds.storage.secret_files import read_file

    trusted = 0
    for certificate in certificates_in(read_file(ca_bundle, most=_MOST_BYTES)):
        with suppress(ssl.SSLError):
            context.load_verify_locations(cadata=certificate)
            trusted += 1
    return None if trusted else "it holds no PEM certificate"


def _has_mark(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"\xef\xbb", b"\xff\xfe", b"\xfe\xff")


def system_store() -> tuple[ssl.SSLContext, bool]:
    """Return a context that trusts the operating system's store, and whether it may be only a part of it.

    Debian and Alpine keep the same certificates in one large file and, beside it, in a hashed folder. The folder is
    tried first: it is read on demand, and reading the file costs about 20 ms at each start. It may be only a part:
    somebody may have added an authority to the file by hand. On all other systems, and where SSL_CERT_FILE or
    SSL_CERT_DIR is set, truststore decides.
    """
    paths = ssl.get_default_verify_paths()
    named = os.environ.get(paths.openssl_cafile_env) or os.environ.get(paths.openssl_capath_env)
    if sys.platform == "linux" and not named and paths.cafile and paths.capath:
        folder = Path(paths.capath).resolve()
        if Path(paths.cafile).resolve().parent == folder and _is_hashed(folder):
            context = _trusting_nobody()
            context.load_verify_locations(capath=str(folder))
            return context, True
    return _whole_store(), False


def _is_kept_in_files() -> bool:
    """Return whether the system keeps its store in files; if not, SSL_CERT_FILE adds to it, as in Python itself."""
    return sys.platform not in ("darwin", "win32")


def _whole_store() -> ssl.SSLContext:
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    named = os.environ.get("SSL_CERT_FILE")
    if named and not _is_kept_in_files():  # truststore asks the system alone there
        with suppress(OSError, BannoCredsError):  # `Trust.advice` says what is wrong with it
            _read_file(context, Path(named))
    return in_steps(context)


def _trusting_nobody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return in_steps(context)


def _is_hashed(folder: Path) -> bool:
    """Return whether a folder's certificates can be found by the hash of their subject."""
    return any(folder.glob("????????.[0-9]"))


def _absence(path: str) -> str:
    is_there = os.pathsep in path or os.path.exists(path)  # noqa: PTH110 - unlike Path's, it never raises
    return "" if is_there else " (which is not there)"
