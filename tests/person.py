"""A person who signs in, without a browser: what a browser does for them, and nothing of what our program does.

As a program it is a browser for `$BROWSER`: it opens the address that it is given, and tells where it ended.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import secrets
import shlex
import socket
import sys
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parent.parent
REDIRECTS = 20
# Below the ports that an operating system gives to any socket that asks for one: another process may get such a port
# between the moment when it was found free and the moment when the server listens there.
FIRST_PORT = 21_000
PORTS_OF_A_PROCESS = 50
_CALLS = itertools.count()


class Person(NamedTuple):
    """Who signs in; made for one run of the tests, so that a password is easily looked for."""

    login: str
    password: str
    claims: Mapping[str, str | None]


def new_people() -> dict[str, Person]:
    """The vendor's example person, and one whose name is a script."""
    script = "<script>document.title='owned'</script>"
    names = {"rileydoe": ("Riley", "Doe"), "mallory": (script, "<img src=x>&quot;")}
    return {
        login: Person(
            login,
            secrets.token_urlsafe(12),
            {
                "sub": str(uuid.uuid4()),
                "family_name": family_name,
                "given_name": given_name,
                "middle_name": None,
                "name": f"{given_name} {family_name}",
                "picture": "",
                "preferred_username": login,
                "https://api.banno.com/consumer/claim/institution_id": "3f85ce95-7d5c-4b54-9b9c-6f3d1f6c2a10",
            },
        )
        for login, (given_name, family_name) in names.items()
    }


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with closing(socket.socket(family)) as probe:
                if sys.platform != "win32":  # where it gives away a port that somebody has
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as failure:
            # A machine without IPv6 has nobody there who could have it.
            if failure.errno == errno.EADDRINUSE:
                return False
    return True


def free_port() -> int:
    """A port for a server that starts later, or for a redirect URI. Each call gives another one of this process."""
    first = FIRST_PORT + os.getpid() % 200 * PORTS_OF_A_PROCESS
    turn = (first + next(_CALLS) % PORTS_OF_A_PROCESS for _ in range(PORTS_OF_A_PROCESS))
    return next(port for port in turn if _is_free(port))


# --- forms ---


@dataclass
class Form:
    """One form of a page: where it goes, what it holds, and its buttons by name and value."""

    action: str
    method: str
    id: str
    fields: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)  # of a select or a group of radio buttons
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        name, value = values.get("name", ""), values.get("value", "")
        if tag == "form":
            method = values.get("method", "get").lower()
            self.forms.append(Form(values.get("action", ""), method, values.get("id", "")))
            return
        if not self.forms:
            return
        # A control outside its form names it.
        form = next((form for form in self.forms if form.id and form.id == values.get("form")), self.forms[-1])
        kind = values.get("type", "submit" if tag == "button" else "text")
        if tag == "button" or (tag == "input" and kind == "submit"):
            form.buttons.append((name, value))
        elif tag == "select":
            self._select = name
        elif tag == "option":
            form.choices.setdefault(self._select, []).append(value)
            if "selected" in values or self._select not in form.fields:
                form.fields[self._select] = value
        elif tag == "input" and kind == "radio":
            form.choices.setdefault(name, []).append(value)
            if "checked" in values:
                form.fields[name] = value
        elif tag == "input" and name:
            form.fields[name] = value
            form.types[name] = kind


def forms_of(page: str) -> list[Form]:
    """The forms of an HTML page."""
    parser = _Forms()
    parser.feed(page)
    return parser.forms


# --- the person at work ---


class StuckError(Exception):
    """A page on which a person would not know what to do."""


class Visit:
    """One person's browser: cookies, forms, redirects; it goes up to the redirect URI, and there when told."""

    def __init__(self, person: Person, *, verify: Any = True) -> None:
        self._person = person
        # trust_env: a proxy of the machine has no business on loopback.
        self._http = httpx.Client(trust_env=False, verify=verify, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def sign_in(self, authorization_url: str, *, answer: str = "allow", institution: str | None = None) -> str:
        """Log in and consent, or not (``answer="cancel"``).

        Returns:
            The address at which the provider would have the browser end: the redirect URI with its answer. It has not
            been fetched.

        Raises:
            StuckError: The provider showed a page with nothing to fill in.
        """
        redirect_uri = parse_qs(urlsplit(authorization_url).query).get("redirect_uri", [None])[0]
        response = self._http.get(authorization_url)
        for _ in range(REDIRECTS):
            if response.next_request is not None:
                address = str(response.next_request.url)
                # A pushed request keeps the redirect URI to itself: then it is whatever leaves the provider.
                if _leads_to(address, redirect_uri, authorization_url):
                    return address
                response = self._http.send(response.next_request)
                continue
            response = self._http.send(self._filled_in(response, answer, institution))
        raise StuckError(f"{REDIRECTS} redirects and forms, and no end")

    def _filled_in(self, response: httpx.Response, answer: str, institution: str | None) -> httpx.Request:
        forms = forms_of(response.text)
        if not forms or response.status_code >= 400:
            raise StuckError(f"{response.status_code} {response.text}")
        form = forms[0]
        values = dict(form.fields)
        for name, kind in form.types.items():
            if kind == "password":
                values[name] = self._person.password
            elif kind != "hidden" and name in ("login", "username", "user", "email"):
                values[name] = self._person.login
        for name, offered in form.choices.items():
            if "institution" in name:
                values[name] = institution if institution is not None else offered[0]
        denying = [button for button in form.buttons if button[1].lower() in ("cancel", "deny", "abort", "no")]
        pressed = denying if answer == "cancel" and denying else [b for b in form.buttons if b not in denying]
        if pressed and pressed[0][0]:
            values[pressed[0][0]] = pressed[0][1]
        url = response.url.join(form.action)
        if form.method == "post":
            return self._http.build_request("POST", url, data=values)
        return self._http.build_request("GET", url, params=values)

    def follow(self, address: str) -> httpx.Response:
        """Open any address as a browser does: redirects are followed to their end."""
        return self._http.get(address, follow_redirects=True)

    def press(self, page: httpx.Response) -> httpx.Response:
        """Press the first button of a page that asks one question."""
        return self._http.send(self._filled_in(page, "allow", None), follow_redirects=True)


def _leads_to(address: str, redirect_uri: str | None, authorization_url: str) -> bool:
    if redirect_uri is not None:
        return address.split("?")[0].split("#")[0] == redirect_uri.split("?")[0]
    ours, theirs = urlsplit(address), urlsplit(authorization_url)
    return (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc)


# --- as $BROWSER ---


@dataclass
class Errand:
    """What a browser program is sent out with, and where it reports."""

    variable: str
    _listener: socket.socket = field(repr=False)

    def report(self, timeout: float = 60) -> dict[str, Any]:
        """What it saw; waits for it.

        Raises:
            TimeoutError: It never came back.
        """
        self._listener.settimeout(timeout)
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as stream:
            report: dict[str, Any] = json.load(stream)
        if "failed" in report:
            raise AssertionError(report["failed"])
        return report


@contextmanager
def sent_out(program: str, folder: Path, **errand: object) -> Iterator[Errand]:
    """A value for `$BROWSER` that has a program of these tests open the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plan = folder / f"errand-{uuid.uuid4()}.json"
        plan.touch(mode=0o600)
        plan.write_text(json.dumps({**errand, "report_to": listener.getsockname()[1]}))
        # In the background, as browsers are: who opened it goes on at once.
        start = plan.with_suffix(".py")
        start.write_text(
            f"import runpy, sys\nsys.path.insert(0, {str(ROOT)!r})\nrunpy.run_module({program!r}, None, '__main__')",
            "utf-8",
        )
        command = [sys.executable, str(start), str(plan)]
        variable = f"{shlex.join(command)} %s &"
        yield Errand(variable, listener)


def browser_main(drive: Callable[[dict[str, Any], str], dict[str, Any]]) -> None:
    """Run an errand: the arguments are its plan and the address."""
    plan = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    try:
        report = drive(plan, sys.argv[2])
    except Exception as error:  # noqa: BLE001 - the test tells it; nobody reads what a browser prints
        report = {"failed": f"{type(error).__name__}: {error}"}
    with socket.create_connection(("127.0.0.1", plan["report_to"])) as connection:
        connection.sendall(json.dumps(report).encode())


def _drive(plan: dict[str, Any], url: str) -> dict[str, Any]:
    person = Person(plan["login"], plan["password"], {})
    verify: Any = True
    if plan.get("certificate"):
        import ssl

        verify = ssl.create_default_context(cafile=plan["certificate"])
    with Visit(person, verify=verify) as visit:
        address = visit.sign_in(url, answer=plan.get("answer", "allow"), institution=plan.get("institution"))
        page = visit.follow(address)
        return {
            "authorization_url": url,
            "callback": address,
            "url": str(page.url),
            "status": page.status_code,
            "headers": dict(page.headers),
            "page": page.text,
        }


if __name__ == "__main__":
    browser_main(_drive)
