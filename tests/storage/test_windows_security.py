"""Who can read or change a file on Windows: the judgement of owners and access-control lists, on every system."""

from __future__ import annotations

import re

import pytest

from banno_creds.shells import quote
from banno_creds.storage.windows_security import (
    CHANGE,
    LOOK_INTO,
    PUT_ANOTHER_IN_PLACE,
    READ_DATA,
    Ace,
    Security,
    User,
    is_owner_another,
    mending,
    others_with,
    parse,
    sid_of,
)

DOMAIN = "S-1-5-21-1004336348-1177238915-682003330"
INES = f"{DOMAIN}-1001"
BEN = f"{DOMAIN}-1002"
USER = User(INES)
INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
ELSEWHERE = "S-1-5-21-1-2-3-1001"

# What SDDL calls accounts and rights, as far as the lists below use it.
ACCOUNTS = {
    "WD": "S-1-1-0",
    "CO": "S-1-3-0",
    "OW": "S-1-3-4",
    "NU": "S-1-5-2",
    "IU": "S-1-5-4",
    "AN": "S-1-5-7",
    "AU": "S-1-5-11",
    "RC": "S-1-5-12",
    "SY": "S-1-5-18",
    "BA": "S-1-5-32-544",
    "BU": "S-1-5-32-545",
    "BG": "S-1-5-32-546",
    "BO": "S-1-5-32-551",
    "AC": "S-1-15-2-1",
    "LA": f"{DOMAIN}-500",
    "DA": f"{DOMAIN}-512",
    "DU": f"{DOMAIN}-513",
    "TI": INSTALLER,
    "Ines": INES,
    "Ben": BEN,
}
RIGHTS = {
    "FA": 0x1F01FF,
    "FR": 0x120089,
    "FW": 0x120116,
    "GA": 0x10000000,
    "GR": 0x80000000,
    "GW": 0x40000000,
    "GXGR": 0xA0000000,
    "WD": 0x40000,
    "WO": 0x80000,
}
KINDS = {"A": 0, "D": 1, "AU": 2, "XA": 9, "XD": 10}
FLAGS = {"OI": 1, "CI": 2, "NP": 4, "IO": 8, "ID": 16}


def _sid(text: str) -> bytes:
    _, _, authority, *rest = ACCOUNTS.get(text, text).split("-")
    return bytes([1, len(rest)]) + int(authority).to_bytes(6, "big") + b"".join(_number(int(part)) for part in rest)


def _number(value: int, length: int = 4) -> bytes:
    return value.to_bytes(length, "little")


def descriptor(sddl: str) -> bytes:
    """Return what Windows keeps of a text such as ``O:BAD:(A;;FA;;;SY)``: a self-relative security descriptor."""
    found = re.fullmatch(r"O:(.*?)(?:D:(\w*?)((?:\(.*\))?))?", sddl)
    assert found is not None
    owner, aces = _sid(found[1]), b""
    entries = re.findall(r"\((\w+);(\w*);(\w+);;;([\w-]+)\)", found[3] or "")
    for kind, flags, rights, account in entries:
        mask = RIGHTS[rights] if rights in RIGHTS else int(rights, 16)
        body = _number(mask) + _sid(account)
        bits = sum(FLAGS[flag] for flag in re.findall("..", flags))
        aces += bytes([KINDS[kind], bits]) + _number(len(body) + 4, 2) + body
    has_list = found[2] is not None and found[2] != "NULL"
    dacl = bytes([2, 0]) + _number(len(aces) + 8, 2) + _number(len(entries), 2) + bytes(2) + aces if has_list else b""
    control = 0x8000 | (0x4 if found[2] is not None else 0)
    head = bytes([1, 0]) + _number(control, 2) + _number(20) + bytes(8) + _number(20 + len(owner) if dacl else 0)
    return head + owner + dacl


def names(mask: int, sddl: str, user: User = USER, *, is_remote: bool = False) -> list[str]:
    """Return who else has the rights, as SDDL calls them."""
    known = {sid: name for name, sid in ACCOUNTS.items()}
    return [known.get(sid, sid) for sid in others_with(mask, parse(descriptor(sddl)), user, is_remote=is_remote)]


IN_A_PROFILE = "O:InesD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;Ines)"
IN_A_FOLDER_OF_THE_DRIVE = "O:InesD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;0x1200a9;;;BU)(A;ID;0x1301bf;;;AU)"
IN_PROGRAMS = (
    "O:TID:AI(A;;FA;;;TI)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)(A;ID;0x1200a9;;;AC)"
    "(A;ID;0x1200a9;;;S-1-15-2-2)"
)


@pytest.mark.parametrize(
    ("sddl", "readers", "writers"),
    [
        pytest.param(IN_A_PROFILE, "", "", id="in the user's profile"),
        pytest.param(IN_A_FOLDER_OF_THE_DRIVE, "BU AU", "AU", id="in C:\\keys"),
        pytest.param(IN_PROGRAMS, "BU", "", id="in C:\\Program Files"),
        pytest.param("O:BAD:P(A;;FA;;;OW)(A;;FA;;;Ines)(A;;FA;;;SY)(A;;FA;;;BA)", "", "", id="made by us, elevated"),
        pytest.param("O:InesD:PAI(A;;FA;;;Ines)", "", "", id="after icacls"),
        pytest.param("O:InesD:AI(A;;FR;;;WD)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;Ines)", "WD", "", id="shared"),
        pytest.param("O:InesD:(A;;FA;;;Ines)(A;;GA;;;WD)", "WD", "WD", id="generic rights"),
        pytest.param("O:InesD:(A;;GXGR;;;IU)(A;;GW;;;NU)", "IU", "NU", id="generic read, generic write"),
        pytest.param("O:InesD:(A;;FR;;;BG)(A;;FR;;;AN)", "BG AN", "", id="guests, nobody in particular"),
        pytest.param("O:InesD:(A;;FA;;;DA)(A;;FA;;;LA)(A;;FR;;;BO)(A;;FR;;;DU)", "DU", "", id="a domain"),
        pytest.param("O:InesD:(A;;FR;;;Ben)", "Ben", "", id="one other user"),
        pytest.param("O:InesD:(A;;WD;;;Ben)(A;;WO;;;BU)", "", "Ben BU", id="who can give himself rights"),
        pytest.param("O:InesD:NULL", "WD", "WD", id="a list that is missing"),
        pytest.param("O:Ines", "WD", "WD", id="no list"),
        pytest.param("O:InesD:", "", "", id="an empty list: nobody"),
        pytest.param("O:InesD:(A;OICIIO;FA;;;WD)(A;;FA;;;Ines)", "", "", id="for later children only"),
        pytest.param("O:InesD:(D;;FA;;;BU)(A;;FA;;;BU)", "", "", id="denied before allowed"),
        pytest.param("O:InesD:(A;;FA;;;BU)(D;;FA;;;BU)", "BU", "BU", id="allowed before denied"),
        pytest.param("O:InesD:(D;;FW;;;WD)(A;;0x1201bf;;;BU)", "BU", "", id="writing denied to everyone"),
        pytest.param("O:InesD:(D;;FA;;;BG)(A;;FR;;;WD)", "WD", "", id="denied to others"),
        pytest.param("O:InesD:(D;OICIIO;FA;;;BU)(A;;FR;;;BU)", "BU", "", id="denied to later children only"),
        pytest.param("O:InesD:(XA;;FR;;;AU)(XD;;FR;;;BG)", "AU", "", id="with a condition"),
        pytest.param("O:InesD:(AU;;FA;;;WD)(A;;FR;;;RC)(A;;FA;;;CO)(A;;FR;;;S-1-5-5-0-77)", "", "", id="nobody"),
        pytest.param("O:BenD:(A;;FA;;;Ben)(A;;FR;;;Ines)", "", "", id="the owner is told of by himself"),
    ],
)
def test_who_else_can_read_and_write(sddl: str, readers: str, writers: str) -> None:
    assert names(READ_DATA, sddl) == readers.split()
    assert names(CHANGE, sddl) == writers.split()


def test_accounts_of_a_file_server_are_not_judged() -> None:
    """Its own users are other numbers than ours for the same person; everybody is everybody there too."""
    nas = f"O:{ELSEWHERE}D:(A;;FA;;;{ELSEWHERE})(A;;FR;;;S-1-5-21-1-2-3-513)(A;;FR;;;WD)"
    samba = "O:S-1-22-1-1000D:(A;;FA;;;S-1-22-1-1000)(A;;FR;;;S-1-22-2-100)(A;;FR;;;WD)"
    assert names(READ_DATA, nas, is_remote=True) == names(READ_DATA, samba, is_remote=True) == ["WD"]
    assert names(READ_DATA, nas) == ["S-1-5-21-1-2-3-513", "WD"]
    assert names(READ_DATA, "O:InesD:(A;;FR;;;Ben)(A;;FR;;;DU)", is_remote=True) == ["Ben", "DU"]


@pytest.mark.parametrize(
    ("owner", "is_remote", "expected"),
    [
        ("Ines", False, False),
        ("SY", False, False),
        ("BA", False, False),
        ("TI", False, False),
        ("LA", False, False),
        ("Ben", False, True),
        ("Ben", True, True),
        ("WD", False, True),
        ("BU", False, True),
        (ELSEWHERE, False, True),
        (ELSEWHERE, True, None),
        ("S-1-22-1-1000", False, None),
        ("S-1-5-88-1-1000", False, None),
    ],
)
def test_the_owner(owner: str, is_remote: bool, expected: bool | None) -> None:
    security = parse(descriptor(f"O:{owner}D:(A;;FA;;;Ines)"))
    assert is_owner_another(security, USER, is_remote=is_remote) is expected


def test_no_owner_is_not_known() -> None:
    assert is_owner_another(Security("", ()), USER) is None


@pytest.mark.parametrize(
    ("sddl", "can"),
    [
        (IN_A_FOLDER_OF_THE_DRIVE, ""),  # what Authenticated Users may do there is add files, and change those
        ("O:BAD:(A;OICI;FA;;;BA)(A;OICI;FA;;;WD)", "WD"),
        ("O:BAD:(A;OICI;FA;;;BA)(A;;0x40;;;BU)", "BU"),
        (IN_A_PROFILE, ""),
    ],
)
def test_who_can_put_another_file_in_the_place_of_one(sddl: str, can: str) -> None:
    assert names(PUT_ANOTHER_IN_PLACE, sddl) == can.split()


def test_a_folder_of_ours_is_nobody_elses_to_look_into() -> None:
    assert names(LOOK_INTO, IN_A_PROFILE) == []
    assert names(LOOK_INTO, IN_A_FOLDER_OF_THE_DRIVE) == ["BU", "AU"]
    assert names(LOOK_INTO, "O:InesD:(A;;0x2;;;AU)(A;;0x20;;;BU)") == ["AU"]  # 0x20 is to go through it


def test_what_the_system_gives_is_read() -> None:
    assert parse(descriptor("O:BAD:AI(D;;FR;;;BG)(A;ID;GR;;;Ines)(A;IO;FA;;;WD)")) == Security(
        "S-1-5-32-544",
        (Ace(False, 0x120089, "S-1-5-32-546"), Ace(True, 0x80120089, INES, is_inherited=True)),
    )
    assert sid_of(_sid("S-1-12-1-4294967295-2-3-4")) == "S-1-12-1-4294967295-2-3-4"


@pytest.mark.parametrize(
    ("sddl", "removed"),
    [
        (IN_A_FOLDER_OF_THE_DRIVE, ""),
        ("O:InesD:AI(A;;FR;;;WD)(A;;FR;;;BU)(A;ID;FA;;;AU)(D;;FA;;;BG)", " /remove:g *S-1-1-0 *S-1-5-32-545"),
        ("O:InesD:NULL", ""),
    ],
)
def test_the_line_that_mends_it_has_no_name_that_is_translated(sddl: str, removed: str) -> None:
    """/inheritance:r takes away what is inherited, /remove:g the rest."""
    path = "C:\\my keys\\private.pem"
    line = mending(path, parse(descriptor(sddl)), USER)
    granted = f"*{INES}:F *S-1-5-18:F *S-1-5-32-544:F"
    assert line == f"icacls {quote(path)} /inheritance:r /grant:r {granted}{removed}"
