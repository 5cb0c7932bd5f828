"""A user's way through ``/auth``: signs in, chooses an institution, says yes, and is sent back with a code.

And the way out, ``/session/end`` (OpenID Connect RP-Initiated Logout). Between two pages of one way stands an
`_Interaction`, remembered here and named in the page's form; the form is bound to the browser by a cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from authlib.oauth2 import OAuth2Error
from flask import Response, request
from joserfc.errors import JoseError
from werkzeug.datastructures import MultiDict

from banno_creds.rules.shown import shown
from banno_creds.sandbox.authorization_request import (
    REQUEST_URI_PREFIX,
    AuthorizationRequest,
    read_authorization_request,
    read_client,
)
from banno_creds.sandbox.authorizations import Authorization, Authorizations, Session
from banno_creds.sandbox.pages import message, page
from banno_creds.sandbox.refusals import SignInRefusalError, described
from banno_creds.sandbox.remembered import Remembered
from banno_creds.sandbox.request_at_hand import faults, machine_now, now, say
from banno_creds.sandbox.tokens import OTHER_ISSUER
from banno_creds.sandbox.users import INSTITUTION_ZERO, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from banno_creds.sandbox.clients import RegisteredClient
    from banno_creds.sandbox.tokens import SigningKeys

PUSHED_LIFETIME: Final = 60
"""How long a pushed authorization request may be used, in seconds (RFC 9126 section 2.2)."""

_INTERACTION_LIFETIME: Final = 600
_SESSION_LIFETIME: Final = 8 * 3600
_MOST: Final = 10_000

_STALE: Final = (
    "authorization request has expired",
    "Start again where you came from. If it happens again, let the browser keep cookies.",
)


@dataclass(slots=True)
class _Interaction:
    """How far a user has come."""

    asked: AuthorizationRequest
    session: Session | None = None
    institution_id: str | None = None
    consented: bool = False


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A user who is asked whether to sign out."""

    redirect_uri: str | None
    state: str | None


class SignIn:
    """The endpoints that a browser visits.

    Args:
        clients: the registered clients by their client IDs.
        users: who may sign in.
        issuer: the issuer identifier.
        authorizations: the memory of codes and tokens.
        keys: what signed an ``id_token_hint``.
        require_pushed: whether every authorization request must be pushed.
        explain: whether an error says what was received and expected.
        met: is told of a fault that a user has met.
    """

    def __init__(
        self,
        clients: Mapping[str, RegisteredClient],
        users: Iterable[User],
        issuer: str,
        authorizations: Authorizations,
        keys: SigningKeys,
        *,
        require_pushed: bool,
        explain: bool,
        met: Callable[[str], None],
    ) -> None:
        self._clients = clients
        self._users = {user.username: user for user in users}
        self._issuer = issuer
        self._authorizations = authorizations
        self._keys = keys
        self._require_pushed = require_pushed
        self._explain = explain
        self._met = met
        address = urlsplit(issuer)
        self._path = address.path
        # To a browser the ports of a host share their cookies; two sandboxes shall not disturb each other.
        self._session_cookie = f"sandbox_session_{address.port or 80}"
        self._browser_cookie = f"sandbox_browser_{address.port or 80}"
        self._csrf_key = secrets.token_bytes(32)
        self.pushed: Final[Remembered[tuple[str, MultiDict[str, str]]]] = Remembered(PUSHED_LIFETIME, _MOST)
        self._interactions: Remembered[_Interaction] = Remembered(_INTERACTION_LIFETIME, _MOST)
        self._leaving: Remembered[_Leaving] = Remembered(_INTERACTION_LIFETIME, _MOST)
        self._sessions: Remembered[Session] = Remembered(_SESSION_LIFETIME, _MOST)

    # --- /auth ---

    def authorize(self) -> Response:
        """Answer at the authorization endpoint: a request for authorization, or a form of one of its pages."""
        sent = request.form if request.method == "POST" else request.args
        if request.method == "POST" and "interaction" in sent:
            return self._continue(sent)
        # RFC 6749 section 3.1: a parameter without a value counts as left out.
        parameters = MultiDict([(name, value) for name, value in sent.items(multi=True) if value])
        try:
            parameters, pushed = self._unpack(parameters)
            client, redirect_uri = read_client(parameters, self._clients)
        except SignInRefusalError as refusal:
            return self._refuse_here(refusal)
        try:
            self._check_pushed(client, pushed=pushed)
            asked = read_authorization_request(parameters, client, redirect_uri)
            interaction = _Interaction(asked, session=self._usable_session(asked))
            if interaction.session is None and "none" in asked.prompts:
                raise _denied("login_required", "End-User authentication is required", "no session of the browser's")
            return self._advance(secrets.token_urlsafe(24), interaction)
        except OAuth2Error as refusal:
            return self._refuse_there(refusal, redirect_uri, parameters.get("state"))

    def check_pushable(self, parameters: MultiDict[str, str]) -> None:
        """Judge an authorization request before it is used, which is when it is pushed (RFC 9126 section 2.1).

        Args:
            parameters: the request's.

        Raises:
            OAuth2Error: it would be refused.
        """
        if "request_uri" in parameters:
            raise SignInRefusalError(
                "invalid_request",
                "request_uri must not be used here",
                received="a request_uri in a pushed request",
                expected="the parameters themselves",
                fix="leave request_uri out",
            )
        # That client_id is the client's own, its authentication has made sure of.
        client, redirect_uri = read_client(parameters, self._clients)
        read_authorization_request(parameters, client, redirect_uri)

    def _unpack(self, parameters: MultiDict[str, str]) -> tuple[MultiDict[str, str], bool]:
        """Put a pushed request in the place of its reference (RFC 9126 section 4)."""
        request_uri = parameters.get("request_uri")
        if request_uri is None:
            return parameters, False
        if not request_uri.startswith(REQUEST_URI_PREFIX):
            raise SignInRefusalError(
                "request_uri_not_supported",
                "request_uri parameter is not supported",
                received="a request_uri that is none of this server's",
                expected="one that the endpoint of pushed authorization requests gave",
                fix="push the request, or send its parameters",
            )
        pushed = self.pushed.take(request_uri, machine_now())
        if pushed is None or parameters.getlist("client_id") != [pushed[0]]:
            raise SignInRefusalError(
                "invalid_request",
                "request_uri is invalid or expired",
                received="a request_uri that is not known, used before, or another client's",
                expected="the newest one, within a minute, with its client_id",
                fix="start again",
            )
        return pushed[1], True

    def _check_pushed(self, client: RegisteredClient, *, pushed: bool) -> None:
        if not pushed and (self._require_pushed or client.client.require_pushed_authorization_requests):
            raise SignInRefusalError(
                "invalid_request",
                "Pushed Authorization Request must be used",
                received="the parameters themselves",
                expected="a request_uri (RFC 9126)",
                fix="send the request to the endpoint of pushed authorization requests first",
            )

    def _usable_session(self, asked: AuthorizationRequest) -> Session | None:
        """The browser's session, unless the request wants the user to sign in anyway."""
        session = self._session()
        if (
            session is None
            or "login" in asked.prompts
            or (asked.max_age is not None and now() - session.auth_time > asked.max_age)
            or (asked.max_age == 0)
            or asked.sub not in {None, session.user.sub}
        ):
            return None
        return session

    def _session(self) -> Session | None:
        session = self._sessions.find(request.cookies.get(self._session_cookie, ""), machine_now())
        return None if session is None or session.ended else session

    def _continue(self, form: MultiDict[str, str]) -> Response:
        """Take the form of a page."""
        name = form["interaction"]
        if not self._is_this_browsers(form):
            say("refused a form that is not this browser's")
            return message(*_STALE, status=403)
        # Taken, so that of one form that is sent twice only one goes on.
        interaction = self._interactions.take(name, machine_now())
        if interaction is None:
            say("refused a form of a login that is over")
            return message(*_STALE)
        asked = interaction.asked
        try:
            if form.get("action") == "cancel":
                raise _denied("access_denied", "End-User aborted interaction", "the button Cancel")
            cookie = None
            wrong = ""
            if interaction.session is None:
                user = self._authenticated(form)
                if user is None:
                    wrong = "That user name and password do not belong together."
                elif asked.sub not in {None, user.sub}:
                    raise _denied("access_denied", "another End-User was requested", "a user who was not asked for")
                else:
                    cookie, interaction.session = self._new_session(user, asked)
            elif interaction.institution_id is None:
                chosen = form.get("institution")
                if chosen in {institution.id for institution in interaction.session.user.institutions}:
                    interaction.institution_id = chosen
                else:
                    wrong = "Choose one of these."
            else:
                interaction.consented = form.get("consent") == "yes"
            response = self._advance(name, interaction, wrong=wrong, username=form.get("username"))
        except OAuth2Error as refusal:
            return self._refuse_there(refusal, asked.redirect_uri, asked.state)
        if cookie is not None:
            self._set_cookie(response, self._session_cookie, cookie)
        return response

    def _advance(
        self, name: str, interaction: _Interaction, *, wrong: str = "", username: str | None = None
    ) -> Response:
        """Show the next page, or send the user back where nothing more is to be asked."""
        asked, session = interaction.asked, interaction.session
        silent = "none" in asked.prompts
        if session is None:
            hint = asked.login_hint if username is None else username[:200]
            return self._form("login", name, interaction, wrong=wrong, username=hint)
        if interaction.institution_id is None:
            interaction.institution_id = _institution(asked, session.user)
        if interaction.institution_id is None:
            if silent:
                raise _denied("interaction_required", "End-User has to choose an institution", "several institutions")
            return self._form(
                "institution",
                name,
                interaction,
                wrong=wrong,
                institutions=session.user.institutions,
                user=session.user,
            )
        if "consent" in asked.prompts and not interaction.consented:
            return self._form("consent", name, interaction, wrong=wrong, scopes=asked.scopes, user=session.user)
        authorization = Authorization(
            client_id=asked.client.client_id,
            session=session,
            institution_id=interaction.institution_id,
            scopes=asked.scopes,
            audience=asked.audience or asked.client.client_id,
            claims=asked.claims,
            nonce=asked.nonce,
        )
        code = self._authorizations.new_code(authorization, asked.redirect_uri, asked.code_challenge, machine_now())
        say(
            f"sent {shown(session.user.username)} back to {shown(asked.client.client_id)} with a code, "
            f"institution {shown(interaction.institution_id)}, scope {shown(' '.join(asked.scopes))}"
        )
        return self._send_back(asked.redirect_uri, {"code": code}, asked.state)

    def _form(
        self, template: str, name: str, interaction: _Interaction, *, user: User | None = None, **values: Any
    ) -> Response:
        self._interactions.keep(name, interaction, machine_now())
        return self._bound_form(
            template,
            name,
            "/auth",
            redirect_uri=interaction.asked.redirect_uri,
            client=interaction.asked.client.name,
            user=_called(user),
            **values,
        )

    def _authenticated(self, form: MultiDict[str, str]) -> User | None:
        user = self._users.get(form.get("username", "").strip())
        if user is None:
            # The name is not shown: people type the password into the wrong field.
            say("refused a login: no such user")
        elif not user.has_password(form.get("password", "")):
            say(f"refused a login: not the password of {shown(user.username)}")
        else:
            return user
        return None

    def _new_session(self, user: User, asked: AuthorizationRequest) -> tuple[str, Session]:
        say(f"{shown(user.username)} signed in for {shown(asked.client.client_id)}")
        self._sessions.take(request.cookies.get(self._session_cookie, ""), machine_now())
        cookie, session = secrets.token_urlsafe(32), Session(user, now())
        self._sessions.keep(cookie, session, machine_now())
        return cookie, session

    def _refuse_here(self, refusal: OAuth2Error, heading: str = "This login cannot begin") -> Response:
        """Say it on a page: it is not known where to, or not safe there."""
        say(f"refused at {request.path} with {refusal.error}: {refusal.sentence}")
        text = refusal.explanation if self._explain else refusal.description
        return message(heading, text, code=refusal.error)

    def _refuse_there(self, refusal: OAuth2Error, redirect_uri: str, state: str | None) -> Response:
        """Say it to the client (RFC 6749 section 4.1.2.1)."""
        say(refusal.log_line)
        text = refusal.explanation if self._explain else refusal.description
        return self._send_back(redirect_uri, {"error": refusal.error, "error_description": text}, state)

    def _send_back(self, redirect_uri: str, answer: dict[str, str], state: str | None) -> Response:
        """Redirect, with ``state`` and ``iss`` (RFC 9207), or what a fault makes of them."""
        fault = faults().asked.get("callback")
        if fault is not None:
            self._met("callback")
        if fault == "wrong-state":
            state = secrets.token_urlsafe(16)
        if state is not None:
            answer["state"] = state
        if fault != "no-iss":
            answer["iss"] = OTHER_ISSUER if fault == "other-issuer" else self._issuer
        return _redirect(redirect_uri, answer)

    # --- /session/end ---

    def end_session(self) -> Response:
        """Answer at the end session endpoint (RP-Initiated Logout section 2): the question, or the form's answer."""
        sent = request.form if request.method == "POST" else request.args
        if request.method == "POST" and "interaction" in sent:
            return self._leave(sent)
        parameters = MultiDict([(name, value) for name, value in sent.items(multi=True) if value])
        try:
            leaving = self._read_leaving(parameters)
        except SignInRefusalError as refusal:
            return self._refuse_here(refusal, heading="Signing out cannot begin")
        session = self._session()
        name = secrets.token_urlsafe(24)
        self._leaving.keep(name, leaving, machine_now())
        return self._bound_form(
            "sign_out",
            name,
            "/session/end",
            redirect_uri=leaving.redirect_uri,
            user=_called(session.user if session else None),
            wrong="",
        )

    def _read_leaving(self, parameters: MultiDict[str, str]) -> _Leaving:
        for name in parameters:
            if len(parameters.getlist(name)) > 1:
                raise _not_leaving(
                    "a parameter must not be provided twice", f"{shown(name)} more than once", "each parameter once"
                )
        client_id = parameters.get("client_id")
        if (hint := parameters.get("id_token_hint")) is not None:
            audience = self._audience(hint)
            if client_id not in {None, audience}:
                raise _not_leaving(
                    "client_id mismatch", f"client_id {shown(client_id)}", "the aud of the id_token_hint"
                )
            client_id = audience
        client = None
        if client_id is not None:
            client = self._clients.get(client_id)
            if client is None:
                raise _not_leaving("client is invalid", f"client_id {shown(client_id)}", "a registered client")
        redirect_uri = parameters.get("post_logout_redirect_uri")
        if redirect_uri is not None:
            if client is None:
                raise _not_leaving(
                    "post_logout_redirect_uri needs a client_id or an id_token_hint", "neither", "one of them"
                )
            if redirect_uri not in client.client.post_logout_redirect_uris:
                raise _not_leaving(
                    "post_logout_redirect_uri not registered",
                    f"post_logout_redirect_uri {shown(redirect_uri)}",
                    f"one of {shown(list(client.client.post_logout_redirect_uris))}, to the character",
                )
        return _Leaving(redirect_uri, parameters.get("state"))

    def _audience(self, id_token_hint: str) -> str:
        """Whom an ID token was given to; that it has expired does not matter (RP-Initiated Logout section 2)."""
        try:
            audience = self._keys.claims_of(id_token_hint)["aud"]
        except (JoseError, ValueError, KeyError):
            audience = None
        if not isinstance(audience, str):
            raise _not_leaving(
                "could not decode id_token_hint", "an id_token_hint that is not from here", "an ID token of this run"
            )
        return audience

    def _leave(self, form: MultiDict[str, str]) -> Response:
        if not self._is_this_browsers(form):
            say("refused a form that is not this browser's")
            return message(*_STALE, status=403)
        leaving = self._leaving.take(form["interaction"], machine_now())
        if leaving is None:
            return message(*_STALE)
        if form.get("action") != "continue":
            say("a user stayed signed in")
            return message("You are still signed in", "You may close this window.", status=200)
        session = self._sessions.take(request.cookies.get(self._session_cookie, ""), machine_now())
        if session is not None:
            session.ended = True
            say(f"{shown(session.user.username)} signed out")
        response = (
            message("You are signed out", "You may close this window.", status=200)
            if leaving.redirect_uri is None
            else _redirect(leaving.redirect_uri, {} if leaving.state is None else {"state": leaving.state})
        )
        response.delete_cookie(self._session_cookie, path=self._path, httponly=True, samesite="Lax")
        return response

    # --- What a page's form is bound to ---

    def _bound_form(self, template: str, interaction: str, endpoint: str, **values: Any) -> Response:
        browser = request.cookies.get(self._browser_cookie) or secrets.token_urlsafe(24)
        response = page(
            template,
            action=f"{self._path}{endpoint}",
            interaction=interaction,
            csrf=self._csrf(browser, interaction),
            **values,
        )
        self._set_cookie(response, self._browser_cookie, browser)
        return response

    def _is_this_browsers(self, form: MultiDict[str, str]) -> bool:
        """Whether a form was made for the browser that sends it; another site's page can send one, too."""
        browser = request.cookies.get(self._browser_cookie, "")
        own, given = self._csrf(browser, form["interaction"]), form.get("csrf", "")
        return hmac.compare_digest(own.encode(), given.encode("utf-8", "surrogatepass"))

    def _csrf(self, browser: str, interaction: str) -> str:
        text = f"{len(browser)} {browser} {interaction}".encode("utf-8", "surrogatepass")
        return hmac.new(self._csrf_key, text, hashlib.sha256).hexdigest()

    def _set_cookie(self, response: Response, name: str, value: str) -> None:
        # Lax, for a user comes here from another site; not Secure, for the sandbox is plain http on this machine.
        response.set_cookie(name, value, path=self._path, httponly=True, samesite="Lax")


def _called(user: User | None) -> str:
    return str(user.claims.get("name") or user.username) if user else ""


def _institution(asked: AuthorizationRequest, user: User) -> str | None:
    """The institution where there is nothing to choose; None where there is."""
    own = [institution.id for institution in user.institutions] or [INSTITUTION_ZERO]
    if asked.institution_id is not None:
        if asked.institution_id not in own:
            raise _denied(
                "access_denied",
                "End-User does not belong to the requested institution",
                f"institutionId {shown(asked.institution_id)}",
            )
        return asked.institution_id
    return own[0] if len(own) == 1 else None


def _redirect(uri: str, answer: Mapping[str, str]) -> Response:
    separator = "" if not answer else "&" if urlsplit(uri).query else "" if uri.endswith("?") else "?"
    # 303, so that a form is not sent on with what is in it.
    response = Response("", 303, {"Location": f"{uri}{separator}{urlencode(answer)}"}, mimetype="text/html")
    response.autocorrect_location_header = False
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _denied(error: str, description: str, received: str) -> SignInRefusalError:
    return SignInRefusalError(
        error, described(description), received=received, expected="the user's yes", fix="let the user try again"
    )


def _not_leaving(description: str, received: str, expected: str) -> SignInRefusalError:
    return SignInRefusalError(
        "invalid_request", description, received=received, expected=expected, fix="send what is expected"
    )
