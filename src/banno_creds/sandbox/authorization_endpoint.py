"""The authorization endpoint, ``/auth``: a user signs in, chooses an institution, agrees, and goes back with a code.

Between two pages the endpoint remembers an `_Interaction`, which the page's form names.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from authlib.oauth2 import OAuth2Error
from flask import Response, request

from banno_creds.rules.shown import shown
from banno_creds.sandbox.authorization_request import (
    REQUEST_URI_PREFIX,
    AuthorizationRequest,
    read_authorization_request,
    read_client,
)
from banno_creds.sandbox.browsers import Browsers, expired, redirect, refusal_page
from banno_creds.sandbox.exchange import browser_parameters, faults, machine_now, now, say, with_values
from banno_creds.sandbox.memory import Authorization, Remembered, Session
from banno_creds.sandbox.refusals import LoginError, described
from banno_creds.sandbox.tokens import OTHER_ISSUER
from banno_creds.sandbox.users import INSTITUTION_ZERO, User, shared_password

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from banno_creds.sandbox.settings import State

PUSHED_LIFETIME: Final = 60
"""How long a pushed authorization request may be used, in seconds (RFC 9126 section 2.2)."""

_INTERACTION_LIFETIME: Final = 600
_MOST: Final = 10_000


@dataclass(slots=True)
class _Interaction:
    """How far a user has come."""

    asked: AuthorizationRequest
    session: Session | None = None
    institution_id: str | None = None
    consented: bool = False


class AuthorizationEndpoint:
    """Shows the pages, takes their forms, and keeps pushed authorization requests."""

    def __init__(self, state: State, browsers: Browsers) -> None:
        self._state = state
        self._browsers = browsers
        self._users = {user.username: user for user in state.settings.users}
        self._pushed: Remembered[tuple[str, MultiDict[str, str]]] = Remembered(PUSHED_LIFETIME, _MOST)
        self._interactions: Remembered[_Interaction] = Remembered(_INTERACTION_LIFETIME, _MOST)

    def answer(self) -> Response:
        """Answer an authorization request, or the form of a page."""
        sent = browser_parameters()
        if request.method == "POST" and "interaction" in sent:
            return self._browsers.refused(sent) or self._take_form(sent)
        parameters = with_values(sent)
        try:
            parameters, pushed = self._unpack(parameters)
            client, redirect_uri = read_client(parameters, self._state.clients)
        except LoginError as refusal:
            return refusal_page(refusal, "This login cannot begin", explain=self._state.settings.explain)
        try:
            if not pushed and (
                self._state.settings.require_pushed_authorization_requests
                or client.client.require_pushed_authorization_requests
            ):
                raise LoginError(
                    "Pushed Authorization Request must be used",
                    "the parameters themselves",
                    "a request_uri (RFC 9126)",
                    fix="send the request to the endpoint of pushed authorization requests first",
                )
            asked = read_authorization_request(parameters, client, redirect_uri)
            interaction = _Interaction(asked, session=self._usable_session(asked))
            if interaction.session is None and "none" in asked.prompts:
                raise _denied("login_required", "End-User authentication is required", "no session of this browser")
            return self._advance(secrets.token_urlsafe(24), interaction)
        except OAuth2Error as refusal:
            return self._refuse(refusal, redirect_uri, parameters.get("state"))

    def push(self, client_id: str, parameters: MultiDict[str, str]) -> str:
        """Check and keep a pushed authorization request (RFC 9126 section 2.1); return its ``request_uri``.

        Its ``client_id``, if sent, is that of the authenticated client: client authentication has checked it.
        """
        if "request_uri" in parameters:
            raise LoginError(
                "request_uri must not be used here",
                "a request_uri in a pushed request",
                "the parameters themselves",
                fix="leave request_uri out",
            )
        client, redirect_uri = read_client(parameters, self._state.clients)
        read_authorization_request(parameters, client, redirect_uri)
        request_uri = f"{REQUEST_URI_PREFIX}{secrets.token_urlsafe(24)}"
        self._pushed.keep(request_uri, (client_id, parameters), machine_now())
        return request_uri

    def _unpack(self, parameters: MultiDict[str, str]) -> tuple[MultiDict[str, str], bool]:
        """Replace a ``request_uri`` by the pushed request (RFC 9126 section 4); tell whether there was one."""
        request_uri = parameters.get("request_uri")
        if request_uri is None:
            return parameters, False
        if not request_uri.startswith(REQUEST_URI_PREFIX):
            raise LoginError(
                "request_uri parameter is not supported",
                "a request_uri of another form",
                "one that the endpoint of pushed authorization requests gave",
                error="request_uri_not_supported",
                fix="push the request, or send its parameters",
            )
        pushed = self._pushed.take(request_uri, machine_now())
        if pushed is None or parameters.getlist("client_id") != [pushed[0]]:
            raise LoginError(
                "request_uri is invalid or expired",
                "a request_uri that is unknown, was used before, or belongs to another client",
                "the newest one, within a minute, with its client_id",
                fix="start again",
            )
        return pushed[1], True

    def _usable_session(self, asked: AuthorizationRequest) -> Session | None:
        """Return the browser's session, unless the request wants the user to sign in again."""
        session = self._browsers.session()
        if (
            session is None
            or "login" in asked.prompts
            or (asked.max_age is not None and now() - session.auth_time > asked.max_age)
            or (asked.max_age == 0)
            or asked.sub not in {None, session.user.sub}
        ):
            return None
        return session

    # --- The pages ---

    def _take_form(self, form: MultiDict[str, str]) -> Response:
        name = form["interaction"]
        # Taken: if a form is sent twice, only one goes on.
        interaction = self._interactions.take(name, machine_now())
        if interaction is None:
            say("refused a form of a login that has ended")
            return expired()
        asked, cookie, wrong = interaction.asked, None, ""
        try:
            if form.get("action") == "cancel":
                raise _denied("access_denied", "End-User aborted interaction", "the button Cancel")
            if interaction.session is None:
                user = self._authenticated(form)
                if user is None:
                    wrong = "The user name or the password is wrong."
                elif asked.sub not in {None, user.sub}:
                    raise _denied("access_denied", "another End-User was requested", "another user than requested")
                else:
                    cookie, interaction.session = self._browsers.begin_session(user)
                    say(f"{shown(user.username)} signed in for {shown(asked.client.client_id)}")
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
            return self._refuse(refusal, asked.redirect_uri, asked.state)
        if cookie is not None:
            self._browsers.set_session(response, cookie)
        return response

    def _authenticated(self, form: MultiDict[str, str]) -> User | None:
        user = self._users.get(form.get("username", "").strip())
        if user is None:
            # The name is not logged: people type the password into the wrong field.
            say("refused a login: no such user")
        elif not user.has_password(form.get("password", "")):
            say(f"refused a login: wrong password of {shown(user.username)}")
        else:
            return user
        return None

    def _advance(
        self, name: str, interaction: _Interaction, *, wrong: str = "", username: str | None = None
    ) -> Response:
        """Show the next page, or send the user back with a code if there is nothing left to ask."""
        asked, session = interaction.asked, interaction.session
        if session is None:
            hint = asked.login_hint if username is None else username[:200]
            users = self._state.settings.users
            return self._form(
                "login", name, interaction, wrong=wrong, username=hint, users=users, password=shared_password(users)
            )
        user = session.user
        if interaction.institution_id is None:
            interaction.institution_id = _institution(asked, user)
        if interaction.institution_id is None:
            if "none" in asked.prompts:
                raise _denied("interaction_required", "End-User has to choose an institution", "several institutions")
            institutions = user.institutions
            return self._form(
                "institution", name, interaction, wrong=wrong, institutions=institutions, user=user.called
            )
        if "consent" in asked.prompts and not interaction.consented:
            return self._form("consent", name, interaction, wrong=wrong, scopes=asked.scopes, user=user.called)
        authorization = Authorization(
            client_id=asked.client.client_id,
            session=session,
            institution_id=interaction.institution_id,
            scopes=asked.scopes,
            audience=asked.audience or asked.client.client_id,
            claims=asked.claims,
            nonce=asked.nonce,
        )
        code = self._state.authorizations.new_code(
            authorization, asked.redirect_uri, asked.code_challenge, machine_now()
        )
        say(
            f"sent {shown(user.username)} back to {shown(asked.client.client_id)} with a code, "
            f"institution {shown(interaction.institution_id)}, scope {shown(' '.join(asked.scopes))}"
        )
        return self._send_back(asked.redirect_uri, {"code": code}, asked.state)

    def _form(self, template: str, name: str, interaction: _Interaction, **values: Any) -> Response:
        self._interactions.keep(name, interaction, machine_now())
        asked = interaction.asked
        return self._browsers.form(
            template, name, "/auth", redirect_uri=asked.redirect_uri, client=asked.client.name, **values
        )

    # --- The way back ---

    def _refuse(self, refusal: OAuth2Error, redirect_uri: str, state: str | None) -> Response:
        """Send the client an error (RFC 6749 section 4.1.2.1)."""
        say(refusal.log_line)
        text = refusal.explanation if self._state.settings.explain else refusal.description
        return self._send_back(redirect_uri, {"error": refusal.error, "error_description": text}, state)

    def _send_back(self, redirect_uri: str, answer: dict[str, str], state: str | None) -> Response:
        """Redirect with ``state`` and ``iss`` (RFC 9207); the fault ``callback`` changes them."""
        fault = faults().asked.get("callback")
        if fault is not None:
            self._state.faults.end("callback")
        if fault == "wrong-state":
            state = secrets.token_urlsafe(16)
        if state is not None:
            answer["state"] = state
        if fault != "no-iss":
            answer["iss"] = OTHER_ISSUER if fault == "other-issuer" else self._state.issuer
        return redirect(redirect_uri, answer)


def _institution(asked: AuthorizationRequest, user: User) -> str | None:
    """Return the institution; None if the user has to choose one."""
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


def _denied(error: str, description: str, received: str) -> LoginError:
    return LoginError(
        described(description), received, "the user's consent", error=error, fix="let the user try again"
    )
