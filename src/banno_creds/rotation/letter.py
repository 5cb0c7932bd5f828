"""The letter to the bank's administrator: which key is replaced by which, and what to do in Users & Groups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.errors import KeyLoadError
from banno_creds.key_uri import is_key_uri
from banno_creds.rotation import key_pair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.jose.keys import PublicKey
    from banno_creds.rotation.subject import Subject
    from banno_creds.steps import Run

DAYS = 90
"""How long a bank may take: 60 to 90 days is what the vendor's pages say."""


class Letter(NamedTuple):
    """A letter, and the new key that it asks for; ``is_new`` if the key was made for it."""

    text: str
    place: str
    key: PublicKey
    is_new: bool


def write_to_bank(subject: Subject, run: Run, *, is_compromised: bool) -> Letter:
    """Make a new key beside the old one, unless there is one, and write the letter that asks for it.

    The profiles go on with the old key: the bank has that one until it has done what the letter asks for.

    Args:
        subject: the profiles, whose key the bank has as PEM.
        run: how the run goes.
        is_compromised: somebody else may have the old key.

    Raises:
        KeyLoadError: a key cannot be read, used or made.
        OutputError: the new key cannot be written.
    """
    first, now = subject.first, run.clock()
    date = datetime.fromtimestamp(now, UTC)
    old = key_pair.open_key(first.place, first.config.passphrase, first.config.timeout)
    place, is_new = subject.new_key, False
    if place is None and is_key_uri(old.place):
        name = f"banno-{date:%Y-%m-%d}-{old.key.public.thumbprint()[:8]}"
        by_hand = subject.command(subject.names, "--letter FILE --new-key URI")
        place = key_pair.make_held(old.place, name, first.config.passphrase, first.config.timeout, by_hand)
        is_new = True
    elif place is None:
        place = _newer(old, subject)
        if place is None:
            place, is_new = key_pair.new_place(old.place, f"{date:%Y-%m-%d}"), True
            key_pair.make_file(old, place)
    new = key_pair.open_key(place, first.config.passphrase, first.config.timeout).key.public
    clients = {member.name: member.config.client_id for member in subject.members}
    return Letter(_pem(clients, old.key.public, new, date, is_compromised=is_compromised), place, new, is_new)


def _newer(old: key_pair.Opened, subject: Subject) -> str | None:
    """Return the key beside the old one that an earlier run has made."""
    config = subject.first.config
    for place, is_newer, _ in key_pair.siblings(old.place):
        try:
            if is_newer and key_pair.open_key(place, config.passphrase, config.timeout):
                return place
        except KeyLoadError:
            continue
    return None


def to_bank_of_set(clients: Mapping[str, str], old: PublicKey, new: PublicKey, url: str, now: float) -> str:
    """Return the letter about a compromised key whose set is at a URL; the profiles' clients are ``clients``."""
    return _letter(
        "A private key of ours may be known to others",
        f"""\
The old private key below may be known to others since {_date(datetime.fromtimestamp(now, UTC))} or
before. We have replaced it in our JWK Set, and sign with the new key:

{_facts(clients, old, new)}
JWKS URI         {url}

Please

1. have the identity provider fetch our JWK Set again now, if that can be
   done: until it has, whoever has the old key gets tokens;
2. revoke the access tokens that were issued to these clients: each is good
   for 10 minutes;
3. look through the log for requests of these clients that were not ours, and
   tell us the times and the IP addresses.

Nothing is to be changed in Users & Groups: the client IDs and the JWKS URI stay.
""",
    )


def _pem(clients: Mapping[str, str], old: PublicKey, new: PublicKey, date: datetime, *, is_compromised: bool) -> str:
    by = date if is_compromised else date + timedelta(days=DAYS)
    why = (
        "For cause: the old private key may be known to others. Please do this today,\n"
        "and revoke the access tokens that were issued to the clients. Until it is\n"
        "done, whoever has the old key gets tokens."
        if is_compromised
        else f"Please do this by {_date(by)}. We sign with the old key until you tell us\n"
        "that it is done: from that moment the old key is refused, so please agree on\n"
        "the hour with us."
    )
    title = "Please replace our public key" + (" today: the old one is compromised" if is_compromised else "")
    return _letter(
        title,
        f"""\
Please replace the public key of our external application:

{_facts(clients, old, new)}

{why}

In Users & Groups:

1. open the external application with the client ID above (type Service
   account, Signed JWT);
2. replace all of its public key by the block below, the lines BEGIN and END
   included;
3. leave the rest as it is: the associated user, the scopes, the client ID;
4. save, and tell us the time.

{new.pem().decode("ascii")}
To make sure that it came to you unchanged, compare the fingerprint of the
file that you paste from:

    openssl pkey -pubin -in public.pem -outform DER |
        openssl dgst -sha256 -binary | openssl base64

It has to be {new.fingerprint().removeprefix("SHA256:")}=

If the application can be given a JWKS URI instead of a public key, please
tell us: the next change then needs nothing from you.
""",
    )


def _letter(title: str, body: str) -> str:
    return f"Subject: {title}\n\n{body}"


def _facts(clients: Mapping[str, str], old: PublicKey, new: PublicKey) -> str:
    lines = [f"Client ID        {client_id}" for client_id in dict.fromkeys(clients.values())]
    lines += [
        f"Old public key   {old.description}, {old.fingerprint()}",
        f"New public key   {new.description}, {new.fingerprint()}",
    ]
    return "\n".join(lines)


def _date(date: datetime) -> str:
    return f"{date:%Y-%m-%d}"
