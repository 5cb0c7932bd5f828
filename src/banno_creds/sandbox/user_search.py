"""The API behind the tokens: the vendor's user search, with users that are made up and plainly so.

It takes a token of this sandbox, from whichever grant. An institution's users are the same in every run.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from flask import Response, request
from joserfc.errors import JoseError

from banno_creds.rules.shown import shown
from banno_creds.sandbox.exchange import faults, in_json, machine_now, now, say
from banno_creds.sandbox.faults import gateways_page
from banno_creds.sandbox.refusals import LoginError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.sandbox.settings import State

USER_SEARCH_PATH: Final = "/a/consumer-user-search/api/v0/institutions/{institutionId}/users"
USER_SEARCH_SCOPE: Final = "https://jackhenry.com/consumer-user-search"

TOTAL: Final = 250
_DEFAULT_LIMIT: Final = 100
_MOST_LIMIT: Final = 1000
_NO_PERMISSION: Final = 40  # the vendor's errorCode
_GIVEN_NAMES: Final = ("Sample", "Example", "Placeholder", "Invented", "Pretend")
_FAMILY_NAMES: Final = ("Person", "Customer", "Member", "Saver", "Tester", "Nobody")


def user_search(state: State, institution_id: str) -> Response:
    """Answer with some of an institution's users, as far as ``limit`` and ``offset`` say."""
    if (fault := faults().asked.get("api")) is not None:
        state.faults.end("api")
        if fault not in (401, 403):
            return gateways_page(int(fault))
    claims = _claims(state)
    if fault == 401:
        raise _invalid_token("the fault api=401", "a request without it", "renew the token, once")
    if USER_SEARCH_SCOPE not in str(claims.get("scope")).split():
        raise LoginError(
            "the token lacks the scope",
            f"a token with the scope {shown(claims.get('scope'))}",
            f"the scope {USER_SEARCH_SCOPE}",
            error="insufficient_scope",
            fix="ask for it: --scope",
            status_code=403,
        )
    own = claims.get("institutionId")
    if fault == 403 or institution_id != own:
        if not fault:
            say(f"answered 403 to the institution {shown(institution_id)}; the token is for {shown(own)}")
        return in_json({"errorCode": _NO_PERMISSION}, 403)
    limit, offset = _number("limit", _DEFAULT_LIMIT, 1, _MOST_LIMIT), _number("offset", 0, 0, 10**9)
    users = [_user(institution_id, number) for number in range(offset, min(offset + limit, TOTAL))]
    say(f"found {len(users)} of {TOTAL} made-up users of the institution {shown(institution_id)}, offset {offset}")
    return in_json({"users": users, "totalCount": TOTAL})


def _claims(state: State) -> Mapping[str, Any]:
    """Return the claims of the request's access token, if it is a valid one of this sandbox."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _invalid_token(
            "no Bearer token in the Authorization header", "Authorization: Bearer and an access token", "send it"
        )
    try:
        claims = state.keys.claims_of(token)
    except (JoseError, ValueError):
        raise _invalid_token("a token that this sandbox did not sign", "one of its own", "get a new token") from None
    if claims.get("iss") != state.issuer or "authType" not in claims:
        received = f"a token of the issuer {shown(claims.get('iss'))}" if "authType" in claims else "another JWT"
        raise _invalid_token(received, f"an access token of {state.issuer}", "send the access_token")
    if not isinstance(claims.get("exp"), int) or now() >= claims["exp"]:
        raise _invalid_token("an expired token", "one that is still valid", "get a new token")
    if "sub" in claims:  # a person's, who may have signed out
        known = state.authorizations.access_tokens.find(token, machine_now())
        if known is None or not known.authorization.alive:
            raise _invalid_token("a revoked token, or one of a login that has ended", "a valid one", "log in again")
    return claims


def _invalid_token(received: str, expected: str, fix: str) -> LoginError:
    return LoginError("invalid token provided", received, expected, error="invalid_token", fix=fix, status_code=401)


def _number(name: str, default: int, least: int, most: int) -> int:
    given = request.args.getlist(name)
    if not given:
        return default
    if len(given) > 1 or not re.fullmatch(r"[0-9]{1,9}", given[0]) or not least <= int(given[0]) <= most:
        raise LoginError(
            f"{name} is invalid", f"{name} {shown(', '.join(given))}", f"one whole number from {least} to {most}"
        )
    return int(given[0])


def _user(institution_id: str, number: int) -> dict[str, str]:
    given = _GIVEN_NAMES[number % len(_GIVEN_NAMES)]
    family = _FAMILY_NAMES[number // len(_GIVEN_NAMES) % len(_FAMILY_NAMES)]
    username = f"{given}.{family}.{number + 1}".lower()
    return {
        "userId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:banno-creds:sandbox:{institution_id}:{number}")),
        "username": username,
        "firstName": given,
        "lastName": f"{family} {number + 1}",
        "email": f"{username}@example.com",
        "phone": f"+1 555 01{number % 100:02d}",
    }
