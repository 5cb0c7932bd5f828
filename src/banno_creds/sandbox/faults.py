"""Faults on demand: what can go wrong between a program and its token, for trying the program out.

A fault has a name, and some have a value: ``status=503``. Some are the whole answer, and of those there is one; the
others change what the server answers anyway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from flask import Response, jsonify

from banno_creds.errors import ConfigurationError
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FAULT_HEADER: Final = "Sandbox-Fault"

_MOST_SECONDS: Final = 300
_MOST_SKEW: Final = 10 * 366 * 24 * 3600
_LOGIN_PAGE: Final = (
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n"
    "<body><h1>Sign in to the network</h1><form action='/login' method='post'>"
    "<input name='user'><input name='password' type='password'><button>Sign in</button></form></body></html>\n"
)


class _Value(NamedTuple):
    pattern: re.Pattern[str]
    least: float
    most: float
    words: str

    def read(self, text: str) -> float | None:
        """The number; None where it is none of these."""
        if not self.pattern.fullmatch(text) or not self.least <= float(text) <= self.most:
            return None
        return float(text) if "." in text else int(text)


class _OneOf(NamedTuple):
    names: tuple[str, ...]

    @property
    def words(self) -> str:
        return ", ".join(self.names)

    def read(self, text: str) -> str | None:
        """The name; None where it is none of these."""
        return text if text in self.names else None


class _Sort(NamedTuple):
    """What a fault is.

    Attributes:
        value: what its value may be; None takes none.
        answers: whether it is the whole answer.
        everywhere: whether it meets every request; else only those for a token.
        callback: whether it meets the way back from a login instead, and only that.
    """

    value: _Value | _OneOf | None = None
    answers: bool = False
    everywhere: bool = False
    callback: bool = False


_ANSWER: Final = _Sort(answers=True)
_ANSWER_TO_ANY: Final = _Sort(answers=True, everywhere=True)
_CHANGE: Final = _Sort()

# The errors of RFC 6749 section 5.2, in the vendor's words.
_REFUSALS: Final = {
    "invalid_client": (401, "client authentication failed"),
    "invalid_scope": (400, "requested scope is not allowed"),
    "invalid_grant": (400, "grant request is invalid"),
    "invalid_request": (400, "request is invalid"),
    "unauthorized_client": (400, "requested grant type is not allowed for this client"),
}

FAULTS: Final[Mapping[str, _Sort]] = {
    **dict.fromkeys(_REFUSALS, _ANSWER),
    "status": _Sort(
        _Value(re.compile(r"\d{3}"), 400, 599, "an HTTP status from 400 to 599"), answers=True, everywhere=True
    ),
    "retry-after": _Sort(_Value(re.compile(r"\d{1,5}"), 0, 86_400, "seconds from 0 to 86400"), everywhere=True),
    "slow": _Sort(
        _Value(re.compile(r"\d{1,3}(?:\.\d{1,3})?"), 0, _MOST_SECONDS, f"seconds from 0 to {_MOST_SECONDS}"),
        everywhere=True,
    ),
    "html": _ANSWER_TO_ANY,
    "redirect": _ANSWER_TO_ANY,
    "empty": _ANSWER,
    "broken-json": _ANSWER,
    "hang-up": _ANSWER,
    "no-expires-in": _CHANGE,
    "opaque-token": _CHANGE,
    "id-token": _Sort(
        _OneOf(
            (
                "none",
                "hs256",
                "other-key",
                "other-client",
                "other-issuer",
                "expired",
                "no-nonce",
                "wrong-nonce",
                "wrong-at-hash",
            )
        )
    ),
    "callback": _Sort(_OneOf(("wrong-state", "other-issuer", "no-iss")), callback=True),
    "expired-jwks": _Sort(everywhere=True),
    "clock-skew": _Sort(
        _Value(re.compile(r"[+-]?\d{1,9}"), -_MOST_SKEW, _MOST_SKEW, "seconds such as +20 or -20, ten years at most"),
        everywhere=True,
    ),
}
"""The faults by their names, in the order in which they are listed."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What shall go wrong.

    Attributes:
        asked: the faults' values by their names; 0 of those that take none.
        by: who asked for them, for the log.
    """

    asked: Mapping[str, float | str] = field(default_factory=dict)
    by: str = "--fault"

    @classmethod
    def read(cls, texts: Iterable[str], by: str = "--fault") -> Self:
        """Read faults as people write them.

        Args:
            texts: such as ``html`` and ``slow=5``.
            by: where they stand, for the log.

        Returns:
            The faults.

        Raises:
            ConfigurationError: there is no such fault or value, or they cannot go together.
        """
        asked: dict[str, float | str] = {}
        for text in texts:
            name, value = _read(text)
            if name in asked:
                raise ConfigurationError(f"the fault {name} is given twice", hint="leave one")
            asked[name] = value
        answers = [name for name in asked if FAULTS[name].answers]
        if len(answers) > 1:
            raise ConfigurationError(
                f"the faults {answers[0]} and {answers[1]} cannot go together: each is the whole answer",
                hint="leave one",
            )
        if "retry-after" in asked and "status" not in asked:
            raise ConfigurationError(
                "the fault retry-after goes with a status", hint="for example status=503 and retry-after=5"
            )
        return cls(asked, by)

    def __contains__(self, name: str) -> bool:
        return name in self.asked

    def __bool__(self) -> bool:
        return bool(self.asked)

    def __str__(self) -> str:
        return ", ".join(
            name if FAULTS[name].value is None else f"{name}={value:+}" if name == "clock-skew" else f"{name}={value}"
            for name, value in self.asked.items()
        )

    @property
    def clock_skew(self) -> int:
        """By how many seconds the server's clock is ahead; behind, if negative."""
        return int(self.asked.get("clock-skew", 0))

    @property
    def slow(self) -> float:
        """How many seconds pass before the answer."""
        return float(self.asked.get("slow", 0))

    def over(self, others: Faults) -> Faults:
        """Put these before others: of two answers there can be only one.

        Args:
            others: what was asked for by somebody else.

        Returns:
            Both.
        """
        if not self or not others:
            return self or others
        answered = any(FAULTS[name].answers for name in self.asked)
        left = {
            name: value
            for name, value in others.asked.items()
            if not (answered and (FAULTS[name].answers or name == "retry-after"))
        }
        return Faults(left | dict(self.asked), f"{self.by} and {others.by}" if left else self.by)

    def met_by(self, *, token_request: bool, login: bool = False) -> Faults:
        """Take those which a request meets.

        Args:
            token_request: whether it asks for a token.
            login: whether it belongs to a login, before there is a token to ask for.

        Returns:
            Those that meet every request, and those that meet such a one.
        """
        met = {
            name: value
            for name, value in self.asked.items()
            if FAULTS[name].everywhere or (login if FAULTS[name].callback else token_request)
        }
        return Faults(met, self.by)

    def without(self, name: str) -> Faults:
        """Take all but one."""
        return Faults({other: value for other, value in self.asked.items() if other != name}, self.by)

    def answer(self, *, explain: bool) -> Response | None:
        """Make the answer that one of the faults is.

        Args:
            explain: whether a refusal says that it is none in earnest.

        Returns:
            The answer; None where none of them is one.
        """
        name = next((name for name in self.asked if FAULTS[name].answers), None)
        if name is None:
            return None
        if name in _REFUSALS:
            status, description = _REFUSALS[name]
            if explain:
                description = f"fault {name}, asked for by {self.by}"
            response = jsonify(error=name, error_description=description)
            response.status_code = status
        elif name == "status":
            response = self._unavailable(int(self.asked["status"]))
        else:
            response = _ANSWERS[name]()
        response.headers["Cache-Control"] = "no-store"
        return response

    def _unavailable(self, status: int) -> Response:
        """As what stands before a server says it, which knows nothing of OAuth."""
        words = next((known.phrase for known in HTTPStatus if known == status), "Unknown")
        page = f"<html><head><title>{status} {words}</title></head><body><h1>{status} {words}</h1></body></html>\n"
        response = Response(page, status, mimetype="text/html")
        if "retry-after" in self.asked:
            response.headers["Retry-After"] = str(int(self.asked["retry-after"]))
        return response


def _read(text: str) -> tuple[str, float | str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    sort = FAULTS.get(name)
    if sort is None:
        near = get_close_matches(name.lower().replace("_", "-"), FAULTS, 1) or get_close_matches(name, FAULTS, 1)
        raise ConfigurationError(
            f"there is no fault '{printable(name, 40)}'",
            hint=f"did you mean {near[0]}?" if near else f"the faults are {', '.join(FAULTS)}",
        )
    if sort.value is None:
        if equals:
            raise ConfigurationError(f"the fault {name} takes no value", hint=f"leave out ={printable(value, 40)}")
        return name, 0
    read = sort.value.read(value)
    if read is None:
        given = f"cannot be '{printable(value, 40)}'" if value else "needs a value"
        form = "WORD" if isinstance(sort.value, _OneOf) else "N"
        raise ConfigurationError(f"the fault {name} {given}", hint=f"{name}={form}: {sort.value.words}")
    return name, read


def _html() -> Response:
    """What a captive portal answers in the server's place."""
    return Response(_LOGIN_PAGE, mimetype="text/html")


def _redirect() -> Response:
    return Response("", 302, {"Location": "/login"}, mimetype="text/html")


def _empty() -> Response:
    return Response("", mimetype="application/json")


def _broken_json() -> Response:
    return Response('{"access_token": "', mimetype="application/json")


def _hang_up() -> Response:
    return Response(_cut_off(), headers={"Content-Length": "1000"}, mimetype="application/json")


def _cut_off() -> Iterator[bytes]:
    yield b'{"access_token": "'
    # Werkzeug takes it for the client's doing, and closes the connection.
    raise ConnectionAbortedError("asked for by a fault")


_ANSWERS: Final = {
    "html": _html,
    "redirect": _redirect,
    "empty": _empty,
    "broken-json": _broken_json,
    "hang-up": _hang_up,
}
