"""Faults on demand: what can go wrong between a program and its token, so that the program can be tested.

A fault has a name, and some have a value: ``status=503``. Some faults are the whole answer: a request can have only
one of these. The others change the normal answer.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from difflib import get_close_matches
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from flask import Response, jsonify

from banno_creds.errors import ConfigurationError
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

FAULT_HEADER: Final = "Sandbox-Fault"

_MOST_SECONDS: Final = 300
_MOST_SKEW: Final = 10 * 366 * 24 * 3600
_LOGIN_PAGE: Final = (
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n"
    "<body><h1>Sign in to the network</h1><form action='/login' method='post'>"
    "<input name='user'><input name='password' type='password'><button>Sign in</button></form></body></html>\n"
)


class _Number(NamedTuple):
    pattern: re.Pattern[str]
    least: float
    most: float
    words: str

    def read(self, text: str) -> float | None:
        if not self.pattern.fullmatch(text) or not self.least <= float(text) <= self.most:
            return None
        return float(text) if "." in text else int(text)


class _OneOf(NamedTuple):
    names: tuple[str, ...]

    @property
    def words(self) -> str:
        return ", ".join(self.names)

    def read(self, text: str) -> str | None:
        return text if text in self.names else None


class _Sort(NamedTuple):
    """A kind of fault; by default it takes no value, and changes the answers to token requests."""

    value: _Number | _OneOf | None = None
    answers: bool = False  # it is the whole answer
    everywhere: bool = False  # it affects every request
    where: str = "token"  # the one endpoint that it affects otherwise, see `Faults.of`


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
        _Number(re.compile(r"\d{3}"), 400, 599, "an HTTP status from 400 to 599"), answers=True, everywhere=True
    ),
    "retry-after": _Sort(_Number(re.compile(r"\d{1,5}"), 0, 86_400, "seconds from 0 to 86400"), everywhere=True),
    "slow": _Sort(
        _Number(re.compile(r"\d{1,3}(?:\.\d{1,3})?"), 0, _MOST_SECONDS, f"seconds from 0 to {_MOST_SECONDS}"),
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
                *("none", "hs256", "other-key", "other-client", "other-issuer", "expired"),
                *("no-nonce", "wrong-nonce", "wrong-at-hash"),
            )
        )
    ),
    "callback": _Sort(_OneOf(("wrong-state", "other-issuer", "no-iss")), where="authorize"),
    "api": _Sort(_Number(re.compile(r"\d{3}"), 400, 599, "an HTTP status from 400 to 599"), where="user_search"),
    "expired-jwks": _Sort(everywhere=True),
    "clock-skew": _Sort(
        _Number(
            re.compile(r"[+-]?\d{1,9}"), -_MOST_SKEW, _MOST_SKEW, "seconds such as +20 or -20, ten years at most"
        ),
        everywhere=True,
    ),
}
"""All faults by name, in the order in which messages list them."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults that were asked for: their values by name (0 without a value), and where they were asked for."""

    asked: Mapping[str, float | str] = field(default_factory=dict)
    by: str = "--fault"

    @classmethod
    def read(cls, texts: Iterable[str], by: str = "--fault") -> Self:
        """Read faults as people write them, such as ``html`` and ``slow=5``.

        Raises:
            ConfigurationError: a fault or its value does not exist, or two faults exclude each other.
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
        """How many seconds the server's clock is ahead; negative if it is behind."""
        return int(self.asked.get("clock-skew", 0))

    @property
    def slow(self) -> float:
        """How many seconds to wait before the answer."""
        return float(self.asked.get("slow", 0))

    def over(self, others: Faults) -> Faults:
        """Combine these with others, and prefer these: a request can have only one answer."""
        if not self or not others:
            return self or others
        answered = any(FAULTS[name].answers for name in self.asked)
        left = {
            name: value
            for name, value in others.asked.items()
            if not (answered and (FAULTS[name].answers or name == "retry-after"))
        }
        return Faults(left | dict(self.asked), f"{self.by} and {others.by}" if left else self.by)

    def of(self, where: str) -> Faults:
        """Return the faults that affect a request to an endpoint, such as ``token``."""
        affecting = {
            name: value
            for name, value in self.asked.items()
            if FAULTS[name].everywhere or FAULTS[name].where == where
        }
        return Faults(affecting, self.by)

    def answer(self, *, explain: bool) -> Response | None:
        """Make the answer of the fault that is one; None if there is no such fault."""
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
            response = gateways_page(int(self.asked["status"]))
            if "retry-after" in self.asked:
                response.headers["Retry-After"] = str(int(self.asked["retry-after"]))
        else:
            response = _ANSWERS[name]()
        response.headers["Cache-Control"] = "no-store"
        return response


def gateways_page(status: int) -> Response:
    """Answer as a gateway does, which knows nothing of OAuth."""
    words = next((known.phrase for known in HTTPStatus if known == status), "Unknown")
    page = f"<html><head><title>{status} {words}</title></head><body><h1>{status} {words}</h1></body></html>\n"
    return Response(page, status, mimetype="text/html")


NO_FAULTS: Final = Faults()


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


def _hang_up() -> Response:
    return Response(_cut_off(), headers={"Content-Length": "1000"}, mimetype="application/json")


def _cut_off() -> Iterator[bytes]:
    yield b'{"access_token": "'
    # Werkzeug blames the client for this error, and closes the connection without a traceback.
    raise ConnectionAbortedError("asked for by a fault")


_ANSWERS: Final[Mapping[str, Callable[[], Response]]] = {
    # The page of a captive portal.
    "html": lambda: Response(_LOGIN_PAGE, mimetype="text/html"),
    "redirect": lambda: Response("", 302, {"Location": "/login"}, mimetype="text/html"),
    "empty": lambda: Response("", mimetype="application/json"),
    "broken-json": lambda: Response('{"access_token": "', mimetype="application/json"),
    "hang-up": _hang_up,
}


class FaultsOnDemand:
    """The faults given at start, and those that a request asks for with the header ``Sandbox-Fault``."""

    def __init__(self, at_start: Faults, *, once: bool) -> None:
        self._at_start = at_start
        self._once = once
        self._lock = threading.Lock()

    def of(self, header: str, where: str) -> Faults:
        """Return the faults of a request; see `Faults.of`."""
        texts = [text for text in header.split(",") if text.strip()]
        own = Faults.read(texts, f"the header {FAULT_HEADER}")
        at_start = self._take(where) if self._once else self._at_start
        return own.over(at_start).of(where)

    def end(self, name: str) -> None:
        """Forget a fault that has just happened, if it is to happen only once."""
        if self._once:
            with self._lock:
                left = {other: value for other, value in self._at_start.asked.items() if other != name}
                self._at_start = Faults(left, self._at_start.by)

    def _take(self, where: str) -> Faults:
        """Return the faults that happen only once, and forget those that a token request meets."""
        with self._lock:
            asked, by = self._at_start.asked, self._at_start.by
            # A login takes several requests, and a call of the API may be refused before: these call `end`.
            elsewhere = {name: value for name, value in asked.items() if FAULTS[name].where != "token"}
            if where == "token":
                at_start, self._at_start = self._at_start, Faults(elsewhere, by)
                return at_start
            return Faults({name: value for name, value in elsewhere.items() if FAULTS[name].where == where}, by)
