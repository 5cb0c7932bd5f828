"""Who can read or change a file on Windows: its owner and its access-control list, in the place of a mode.

Accounts are compared by their security identifiers (SIDs), never by their names, which Windows translates. What
cannot be found out (a FAT drive, another machine's accounts) is None, "not known", and never an error. `ctypes` is
imported when something is looked at: it is slow to load, and a recalled answer does without it.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parts of an access mask, as [MS-DTYP] 2.4.3 and the documentation of file access rights name them.
READ_DATA = 0x1
_WRITE_DATA = 0x2
_APPEND_DATA = 0x4
_DELETE_CHILD = 0x40
_CHANGE_SECURITY = 0x40000 | 0x80000  # WRITE_DAC, WRITE_OWNER
CHANGE = _WRITE_DATA | _APPEND_DATA | _CHANGE_SECURITY
PUT_ANOTHER_IN_PLACE = _DELETE_CHILD | _CHANGE_SECURITY
LOOK_INTO = READ_DATA | CHANGE | _DELETE_CHILD
_GENERIC = {0x80000000: 0x120089, 0x40000000: 0x120116, 0x20000000: 0x1200A0, 0x10000000: 0x1F01FF}

_ALLOWED = (0, 9)  # the second has a condition, which may hold
_DENIED = 1
_INHERIT_ONLY = 0x8
_INHERITED = 0x10
_DACL_PRESENT = 0x4

_SYSTEM, _ADMINISTRATORS, _EVERYONE = "S-1-5-18", "S-1-5-32-544", "S-1-1-0"
_TRUSTED_INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
# They can read and change every file by their privileges: administrators, backup operators, Windows itself.
_TRUSTED = (_SYSTEM, _ADMINISTRATORS, _TRUSTED_INSTALLER, "S-1-5-114", "S-1-5-32-551")
_TRUSTED_IN_A_DOMAIN = ("-500", "-512", "-518", "-519")
# No other user by themselves: creators and owners, logon sessions, apps in their containers, restricted tokens.
_NOBODY = ("S-1-0-", "S-1-3-", "S-1-5-5-", "S-1-15-", "S-1-5-12", "S-1-5-33")
# Accounts of another system that a server or a driver stands for: Samba's, and those of NFS.
_OF_ANOTHER_SYSTEM = ("S-1-22-", "S-1-5-88-")
_OF_A_DOMAIN = ("S-1-5-21-", "S-1-12-1-")

_NAMES = {
    _EVERYONE: "Everyone",
    "S-1-2-0": "LOCAL",
    "S-1-5-2": "NETWORK",
    "S-1-5-3": "BATCH",
    "S-1-5-4": "INTERACTIVE",
    "S-1-5-6": "SERVICE",
    "S-1-5-7": "ANONYMOUS LOGON",
    "S-1-5-11": "Authenticated Users",
    "S-1-5-14": "REMOTE INTERACTIVE LOGON",
    _SYSTEM: "SYSTEM",
    _ADMINISTRATORS: "Administrators",
    _TRUSTED_INSTALLER: "TrustedInstaller",
    "S-1-5-32-545": "Users",
    "S-1-5-32-546": "Guests",
    "S-1-5-32-547": "Power Users",
}
_MOST_NAMES = 3


class Ace(NamedTuple):
    """An entry of an access-control list: who is allowed or denied what."""

    is_allowed: bool
    mask: int
    sid: str
    is_inherited: bool = False


class Security(NamedTuple):
    """A file's owner, and its list; ``aces`` is None if there is no list: everybody may do everything."""

    owner: str
    aces: tuple[Ace, ...] | None


class User(NamedTuple):
    """The user of this process; ``is_administrator`` is true for an elevated administrator and for SYSTEM."""

    sid: str
    is_administrator: bool = False


# --- What is read ---------------------------------------------------------------------------------------------------


def parse(descriptor: bytes) -> Security:
    """Read a self-relative security descriptor ([MS-DTYP] 2.4.6), as the system gives it."""
    control, owner, dacl = _number(descriptor, 2, 2), _number(descriptor, 4), _number(descriptor, 16)
    name = sid_of(descriptor, owner) if owner else ""
    if not control & _DACL_PRESENT or not dacl:
        return Security(name, None)
    aces, at = [], dacl + 8
    for _ in range(_number(descriptor, dacl + 4, 2)):
        kind, flags = descriptor[at], descriptor[at + 1]
        if (kind in _ALLOWED or kind == _DENIED) and not flags & _INHERIT_ONLY:
            mask = _number(descriptor, at + 4)
            for generic, specific in _GENERIC.items():
                mask |= specific if mask & generic else 0
            aces.append(Ace(kind != _DENIED, mask, sid_of(descriptor, at + 8), bool(flags & _INHERITED)))
        at += _number(descriptor, at + 2, 2)
    return Security(name, tuple(aces))


def sid_of(content: bytes, at: int = 0) -> str:
    """Return the security identifier ([MS-DTYP] 2.4.2) at a place, as text."""
    count, authority = content[at + 1], int.from_bytes(content[at + 2 : at + 8], "big")
    return "-".join(["S-1", str(authority), *(str(_number(content, at + 8 + 4 * each)) for each in range(count))])


def _number(content: bytes, at: int, length: int = 4) -> int:
    return int.from_bytes(content[at : at + length], "little")


# --- What is judged -------------------------------------------------------------------------------------------------


def others_with(mask: int, security: Security, user: User, *, is_remote: bool = False) -> tuple[str, ...]:
    """Return the accounts, other than the user, the owner and administrators, that have any of the rights."""
    if security.aces is None:
        return (_EVERYONE,)
    found = {}
    for at, ace in enumerate(security.aces):
        if not ace.is_allowed or _is_harmless(ace.sid, security, user) or _is_unknown(ace.sid, user, is_remote):
            continue
        # The first entry that speaks of a right decides.
        denied = 0
        for earlier in security.aces[:at]:
            if not earlier.is_allowed and earlier.sid in (ace.sid, _EVERYONE):
                denied |= earlier.mask
        if ace.mask & mask & ~denied:
            found[ace.sid] = True
    return tuple(found)


def is_owner_another(security: Security, user: User, *, is_remote: bool = False) -> bool | None:
    """Return whether the owner is another user, who can always change the file; None if that is not known."""
    owner = security.owner
    if owner == user.sid or _is_trusted(owner):
        return False
    return None if not owner or _is_unknown(owner, user, is_remote) else True


def _is_trusted(sid: str) -> bool:
    return sid in _TRUSTED or (sid.startswith(_OF_A_DOMAIN[0]) and sid.endswith(_TRUSTED_IN_A_DOMAIN))


def _is_harmless(sid: str, security: Security, user: User) -> bool:
    # Another owner is told of by himself.
    return sid in (user.sid, security.owner) or _is_trusted(sid) or sid.startswith(_NOBODY)


def _is_unknown(sid: str, user: User, is_remote: bool) -> bool:  # noqa: FBT001 - private, and clear at its calls
    """Return whether nobody here can tell whose account it is: a file server has accounts of its own."""
    if sid.startswith(_OF_ANOTHER_SYSTEM):
        return True
    return is_remote and sid.startswith(_OF_A_DOMAIN) and sid.rpartition("-")[0] != user.sid.rpartition("-")[0]


def mending(path: str, security: Security, user: User) -> str:
    """Return the command line, for cmd and PowerShell alike, that leaves a file to its user and administrators."""
    from banno_creds.shells import quote

    kept = " ".join(f"*{sid}:F" for sid in dict.fromkeys((user.sid, _SYSTEM, _ADMINISTRATORS)))
    line = f"icacls {quote(path)} /inheritance:r /grant:r {kept}"
    own = {ace.sid: True for ace in security.aces or () if ace.is_allowed and not ace.is_inherited}
    removed = [f"*{sid}" for sid in own if not _is_harmless(sid, security, user)]
    return f"{line} /remove:g {' '.join(removed)}" if removed else line


def taking(path: str) -> str:
    """Return the command line that gives a file to administrators."""
    from banno_creds.shells import quote

    return f"icacls {quote(path)} /setowner *{_ADMINISTRATORS}"


# --- The system -----------------------------------------------------------------------------------------------------

if sys.platform == "win32":  # pragma: no cover - Windows alone
    _READ_CONTROL, _GENERIC_WRITE, _SHARED, _OPEN_FOLDERS = 0x20000, 0x40000000, 0x7, 0x02000000
    _CREATE_NEW, _OPEN_EXISTING = 1, 3
    _FOR_CHILDREN = "OICI"
    _OWNER_AND_DACL, _DACL, _PROTECTED = 0x5, 0x4, 0x80000000
    _PERSISTENT_ACLS = 0x8
    _REMOTE_PROTOCOL, _REMOTE_PROTOCOL_LENGTH = 13, 116  # FileRemoteProtocolInfo, FILE_REMOTE_PROTOCOL_INFO
    # From a drive or a server that takes no list: function, support, parameter, owner, list, SID, descriptor.
    _NO_LISTS = (1, 50, 87, 1307, 1336, 1337, 1338)

    class Found(NamedTuple):
        """The security of a file or a folder, and whether another machine has it."""

        security: Security
        is_remote: bool

    class Others(NamedTuple):
        """What `secret_files.Others` has of a file on Windows."""

        writers: str
        readers: str
        owner: str
        close: str
        take: str
        warnings: list[tuple[str, str]]

    def who_else(path: str, descriptor: int) -> Others | None:
        """Say who else can read or change an open file; None if that is not known."""
        user, found = this_user(), look(descriptor)
        if user is None or found is None:
            return None
        another = is_owner_another(found.security, user, is_remote=found.is_remote)
        warnings = []
        folder = look(os.path.dirname(path) or ".")  # noqa: PTH120 - as `own_files`
        if folder is not None:
            there = others_with(PUT_ANOTHER_IN_PLACE, folder.security, user, is_remote=folder.is_remote)
            if there:
                message = f"others can put another file in the place of {path}: {_names(there)} can write its folder"
                warnings.append((message, "move it to a folder that you alone can write"))
        writers = others_with(CHANGE, found.security, user, is_remote=found.is_remote)
        readers = others_with(READ_DATA, found.security, user, is_remote=found.is_remote)
        return Others(
            _names(writers),
            _names(readers),
            "" if not another else "despite root" if user.is_administrator else "other",
            mending(path, found.security, user) if writers or readers else "",
            taking(path) if another else "",
            warnings,
        )

    def described(descriptor: int) -> str | None:
        """Name the owner of an open file and who else can read it; None if that is not known."""
        user, found = this_user(), look(descriptor)
        if user is None or found is None:
            return None
        if is_owner_another(found.security, user, is_remote=found.is_remote) is None:
            return None
        readers = _names(others_with(READ_DATA, found.security, user, is_remote=found.is_remote))
        return f"owner {_name(found.security.owner)}, " + (
            f"{readers} can read it" if readers else "no other user can read it"
        )

    def is_anothers(what: str | int) -> bool:
        """Return whether a folder, or an open file, belongs to another user, as far as that is known."""
        user, found = this_user(), look(what)
        return bool(user and found and is_owner_another(found.security, user, is_remote=found.is_remote))

    def is_open_to_others(folder: str) -> bool:
        """Return whether others can look into a folder or change what is in it, as far as that is known."""
        user, found = this_user(), look(folder)
        return bool(user and found and others_with(LOOK_INTO, found.security, user, is_remote=found.is_remote))

    def look(what: str | int) -> Found | None:
        """Return the security of a folder by its path, or of an open file; None if it cannot be known."""
        import msvcrt

        try:
            if isinstance(what, int):
                return _look_at(msvcrt.get_osfhandle(what))
            handle = open_handle(what, _READ_CONTROL, _SHARED, _OPEN_EXISTING, _OPEN_FOLDERS)
        except OSError:
            return None
        try:
            return _look_at(handle)
        finally:
            close_handle(handle)

    def _look_at(handle: int) -> Found | None:
        import ctypes

        flags, size = ctypes.c_ulong(), ctypes.c_ulong()
        volume = _function("kernel32", "GetVolumeInformationByHandleW", "ppdppppd")
        if (
            not volume(handle, None, 0, None, None, ctypes.byref(flags), None, 0)
            or not flags.value & _PERSISTENT_ACLS
        ):
            return None  # FAT keeps no lists, and what the system answers for it is made up
        query = _function("advapi32", "GetKernelObjectSecurity", "pdpdp")
        query(handle, _OWNER_AND_DACL, None, 0, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value or 1)
        if not query(handle, _OWNER_AND_DACL, content, size.value, ctypes.byref(size)):
            return None
        about = ctypes.create_string_buffer(_REMOTE_PROTOCOL_LENGTH)
        remote = _function("kernel32", "GetFileInformationByHandleEx", "pdpd")
        is_remote = remote(handle, _REMOTE_PROTOCOL, about, _REMOTE_PROTOCOL_LENGTH)
        return Found(parse(content.raw), bool(is_remote))

    def this_user() -> User | None:
        """Return the user of this process; None if the system does not tell."""
        import ctypes

        token = ctypes.c_void_p()
        process = _function("kernel32", "GetCurrentProcess", "", returns="p")()
        if not _function("advapi32", "OpenProcessToken", "pdp")(process, 0x8, ctypes.byref(token)):  # TOKEN_QUERY
            return None
        try:
            size, content = ctypes.c_ulong(), ctypes.create_string_buffer(512)  # a SID has 68 bytes at the most
            get = _function("advapi32", "GetTokenInformation", "pdpdp")
            if not get(token, 1, content, len(content), ctypes.byref(size)):  # TokenUser
                return None
        finally:
            close_handle(token.value)
        # A pointer into the buffer stands before the SID.
        at = ctypes.c_void_p.from_buffer(content).value or 0
        sid = sid_of(content.raw, at - ctypes.addressof(content))
        administrators, is_member = ctypes.create_string_buffer(68), ctypes.c_int()
        size.value = len(administrators)
        # 26 is WinBuiltinAdministratorsSid; who is not elevated is no member.
        _function("advapi32", "CreateWellKnownSid", "dppp")(26, None, administrators, ctypes.byref(size))
        _function("advapi32", "CheckTokenMembership", "ppp")(None, administrators, ctypes.byref(is_member))
        return User(sid, bool(is_member.value) or sid == _SYSTEM)

    def open_handle(
        path: str, access: int, shared: int, disposition: int, flags: int = 0, attributes: Any = None
    ) -> int:
        """Return a handle of a file or folder, by CreateFileW; OSError with Windows' own number.

        `_winapi.CreateFile` takes a name in UTF-8 for one in the code page before Python 3.11.8 and 3.12.2.
        """
        import ctypes

        create = _function("kernel32", "CreateFileW", "sddpddp", returns="p")
        handle = create(path, access, shared, attributes, disposition, flags, None)
        if handle in (None, ctypes.c_void_p(-1).value):  # INVALID_HANDLE_VALUE
            raise _refused(path, ctypes.get_last_error())
        return int(handle)

    def close_handle(handle: int | None) -> None:
        """Close a handle that no descriptor has."""
        _function("kernel32", "CloseHandle", "p")(handle)

    def descriptor_of(handle: int, flags: int = 0) -> int:
        """Return a descriptor that owns a handle."""
        import msvcrt

        try:
            return msvcrt.open_osfhandle(handle, flags)
        except BaseException:
            close_handle(handle)
            raise

    def create_file(path: str, *, like: str | None = None) -> int:
        """Make a file that this user, SYSTEM and administrators alone can open; return it, open for writing.

        ``like``: a file whose access-control list it gets instead, if there is one.

        Raises:
            OSError: it exists already, or the system refused.
        """
        flags = os.O_WRONLY | os.O_BINARY | os.O_NOINHERIT
        with _attributes("", like) as attributes:
            try:
                handle = open_handle(path, _GENERIC_WRITE, _SHARED & 0x3, _CREATE_NEW, 0x80, attributes)
            except OSError as failure:
                if failure.winerror not in _NO_LISTS:
                    raise
                return os.open(path, flags | os.O_CREAT | os.O_EXCL)
        return descriptor_of(handle, flags)

    def make_folder(path: str) -> None:
        """Make a folder that this user, SYSTEM and administrators alone can open, like all that is put into it.

        The mode of `os.mkdir` is not the same in all versions of Python, and with it an administrator who is elevated
        would lock himself out for when he is not.

        Raises:
            OSError: it exists already, or the system refused.
        """
        import ctypes

        with _attributes(_FOR_CHILDREN) as attributes:
            if _function("kernel32", "CreateDirectoryW", "sp")(path, attributes):
                return
            code = ctypes.get_last_error()
        if code not in _NO_LISTS:
            raise _refused(path, code)
        os.mkdir(path)  # noqa: PTH102 - as `own_files`

    def close_folder(path: str) -> None:
        """Leave a folder, and what is in it, to this user, SYSTEM and administrators alone; OSError if that fails."""
        import ctypes

        with _private_descriptor(_FOR_CHILDREN) as descriptor:
            dacl, present, defaulted = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
            get = _function("advapi32", "GetSecurityDescriptorDacl", "pppp")
            if (
                not get(descriptor, ctypes.byref(present), ctypes.byref(dacl), ctypes.byref(defaulted))
                or not dacl.value
            ):
                raise ctypes.WinError(ctypes.get_last_error())  # without a list, everybody may do everything
            change = _function("advapi32", "SetNamedSecurityInfoW", "sddpppp", returns="d")
            code = change(path, 1, _DACL | _PROTECTED, None, None, dacl, None)  # SE_FILE_OBJECT
        if code:
            raise _refused(path, code)

    def _refused(path: str, code: int) -> OSError:
        # The words of the C runtime, as `os.open` has them: Windows' own are in the user's language.
        return OSError(0, os.strerror(OSError(0, "", path, code).errno or 0), path, code)

    @contextmanager
    def _attributes(flags: str, like: str | None = None) -> Iterator[Any]:
        """Yield SECURITY_ATTRIBUTES for something new that is ours alone, or like a file that there is."""
        import ctypes

        class SecurityAttributes(ctypes.Structure):
            _fields_ = (("length", ctypes.c_ulong), ("descriptor", ctypes.c_void_p), ("inherits", ctypes.c_int))

        with _private_descriptor(flags) as private:
            copied = None if like is None else _list_of(like)
            descriptor = private if copied is None else ctypes.addressof(copied)
            yield ctypes.byref(SecurityAttributes(ctypes.sizeof(SecurityAttributes), descriptor, 0))

    def _list_of(path: str) -> Any:
        """Return a security descriptor with the access-control list of a file; None if it cannot be read."""
        import ctypes

        size = ctypes.c_ulong()
        query = _function("advapi32", "GetFileSecurityW", "sdpdp")
        query(path, _DACL, None, 0, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value or 1)
        return content if query(path, _DACL, content, size.value, ctypes.byref(size)) else None

    @contextmanager
    def _private_descriptor(flags: str) -> Iterator[int | None]:
        """Yield a security descriptor that inherits nothing, and lets this user, SYSTEM and administrators in.

        The owner is named too: on a file server he may be another account than here.
        """
        import ctypes

        user = this_user()
        sids = ("S-1-3-4", *((user.sid,) if user else ()), _SYSTEM, _ADMINISTRATORS)
        text = "D:P" + "".join(f"(A;{flags};FA;;;{sid})" for sid in dict.fromkeys(sids))
        descriptor = ctypes.c_void_p()
        convert = _function("advapi32", "ConvertStringSecurityDescriptorToSecurityDescriptorW", "sdpp")
        if not convert(text, 1, ctypes.byref(descriptor), None):
            raise ctypes.WinError(ctypes.get_last_error())  # without one, others could read what is made
        try:
            yield descriptor.value
        finally:
            _function("kernel32", "LocalFree", "p", returns="p")(descriptor)

    def _names(sids: tuple[str, ...]) -> str:
        shown = [_name(sid) for sid in sids[:_MOST_NAMES]]
        return ", ".join(shown) + (", …" if len(sids) > _MOST_NAMES else "")

    def _name(sid: str) -> str:
        """Return an account's name; well-known ones have it in English, as all that we say."""
        import ctypes

        if sid in _NAMES:
            return _NAMES[sid]
        pointer, kind = ctypes.c_void_p(), ctypes.c_ulong()
        name, domain = ctypes.create_unicode_buffer(257), ctypes.create_unicode_buffer(257)
        lengths = ctypes.c_ulong(257), ctypes.c_ulong(257)
        if not _function("advapi32", "ConvertStringSidToSidW", "sp")(sid, ctypes.byref(pointer)):
            return sid
        try:
            look_up = _function("advapi32", "LookupAccountSidW", "ppppppp")
            sizes = [ctypes.byref(length) for length in lengths]
            if not look_up(None, pointer, name, sizes[0], domain, sizes[1], ctypes.byref(kind)):
                return sid
        finally:
            _function("kernel32", "LocalFree", "p", returns="p")(pointer)
        return f"{domain.value}\\{name.value}" if domain.value else name.value

    def _function(dll: str, name: str, takes: str, *, returns: str = "i") -> Any:
        """Return a system function; ``p`` stands for a pointer or a handle, ``s`` text, ``d`` DWORD, ``i`` BOOL."""
        import ctypes

        kinds = {"p": ctypes.c_void_p, "s": ctypes.c_wchar_p, "d": ctypes.c_ulong, "i": ctypes.c_int}
        function = getattr(ctypes.WinDLL(dll, use_last_error=True), name)
        function.argtypes, function.restype = [kinds[each] for each in takes], kinds[returns]
        return function
