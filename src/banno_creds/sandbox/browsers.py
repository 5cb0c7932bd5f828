"""The browsers of the users: their sessions, and the forms that only one browser may send."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from flask import Response, request

from banno_creds.sandbox.exchange import machine_now, now, say
from banno_creds.sandbox.memory import Remembered, Session
from banno_creds.sandbox.pages import message, page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authlib.oauth2 import OAuth2Error
    from werkzeug.datastructures import MultiDict

    from banno_creds.sandbox.users import User

_SESSION_LIFETIME: Final = 8 * 3600
_MOST_SESSIONS: Final = 10_000


class Browsers:
    """Sets and reads the two cookies: one names the user's session, the other the browser that a form is for.

    A form carries a code made from the browser's cookie, so that another site's page cannot send it.
    """

    def __init__(self, issuer: str) -> None:
        address = urlsplit(issuer)
        self._path = address.path
        # A browser sends cookies to every port of a host: the port in the name keeps two sandboxes apart.
        self._session_cookie = f"sandbox_session_{address.port or 80}"
        self._browser_cookie = f"sandbox_browser_{address.port or 80}"
        self._csrf_key = secrets.token_bytes(32)
        self._sessions: Remembered[Session] = Remembered(_SESSION_LIFETIME, _MOST_SESSIONS)

    # --- Sessions ---

    def session(self) -> Session | None:
        """Return the session of this request's browser, if its user is signed in."""
        session = self._sessions.find(self._cookie(self._session_cookie), machine_now())
        return None if session is None or session.ended else session

    def begin_session(self, user: User) -> tuple[str, Session]:
        """Begin a session in the place of an older one; return its cookie, for `set_session`."""
        self.end_session()
        cookie, session = secrets.token_urlsafe(32), Session(user, now())
        self._sessions.keep(cookie, session, machine_now())
        return cookie, session

    def end_session(self) -> Session | None:
        """Forget the session of this request's browser, and return it."""
        return self._sessions.take(self._cookie(self._session_cookie), machine_now())

    def set_session(self, response: Response, cookie: str) -> None:
        """Send the session's cookie."""
        self._set_cookie(response, self._session_cookie, cookie)

    def delete_session(self, response: Response) -> None:
        """Tell the browser to delete the session's cookie."""
        response.delete_cookie(self._session_cookie, path=self._path, httponly=True, samesite="Lax")

    # --- Forms ---

    def form(self, template: str, interaction: str, endpoint: str, **values: Any) -> Response:
        """Make a page whose form only this browser may send."""
        browser = self._cookie(self._browser_cookie) or secrets.token_urlsafe(24)
        response = page(
            template,
            action=f"{self._path}{endpoint}",
            interaction=interaction,
            csrf=self._csrf(browser, interaction),
            **values,
        )
        self._set_cookie(response, self._browser_cookie, browser)
        return response

    def refused(self, form: MultiDict[str, str]) -> Response | None:
        """Return the answer to a form that was made for another browser; None for a good one."""
        own = self._csrf(self._cookie(self._browser_cookie), form["interaction"])
        if hmac.compare_digest(own.encode(), form.get("csrf", "").encode("utf-8", "surrogatepass")):
            return None
        say("refused a form that was made for another browser")
        return expired(status=403)

    def _csrf(self, browser: str, interaction: str) -> str:
        text = f"{len(browser)} {browser} {interaction}".encode("utf-8", "surrogatepass")
        return hmac.new(self._csrf_key, text, hashlib.sha256).hexdigest()

    def _cookie(self, name: str) -> str:
        return request.cookies.get(name, "")

    def _set_cookie(self, response: Response, name: str, value: str) -> None:
        # Lax, because users come here from another site; not Secure, because the sandbox speaks plain http.
        response.set_cookie(name, value, path=self._path, httponly=True, samesite="Lax")


def expired(*, status: int = 400) -> Response:
    """Answer a form that cannot be used any more."""
    text = "Start again where you came from. If it happens again, let the browser keep cookies."
    return message("authorization request has expired", text, status=status)


def refusal_page(refusal: OAuth2Error, heading: str, *, explain: bool) -> Response:
    """Show a refusal on a page, if there is no safe place to redirect to."""
    say(f"refused at {request.path} with {refusal.error}: {refusal.sentence}")
    text = refusal.explanation if explain else refusal.description
    return message(heading, text, code=refusal.error)


def redirect(uri: str, answer: Mapping[str, str]) -> Response:
    """Send the browser to a client's redirect URI, with these parameters."""
    separator = "" if not answer else "&" if urlsplit(uri).query else "" if uri.endswith("?") else "?"
    # 303: the browser must not send the form's content to the client.
    response = Response("", 303, {"Location": f"{uri}{separator}{urlencode(answer)}"}, mimetype="text/html")
    response.autocorrect_location_header = False
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
