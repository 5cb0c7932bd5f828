"""The end session endpoint, ``/session/end``: asks the user, then signs them out (RP-Initiated Logout)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from flask import Response, request
from joserfc.errors import JoseError

from banno_creds.rules.shown import shown
from banno_creds.sandbox.browsers import Browsers, expired, redirect, refusal_page
from banno_creds.sandbox.exchange import browser_parameters, machine_now, say, with_values
from banno_creds.sandbox.memory import Remembered
from banno_creds.sandbox.pages import message
from banno_creds.sandbox.refusals import LoginError

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from banno_creds.sandbox.settings import State

_LIFETIME: Final = 600
_MOST: Final = 10_000


class _Leaving(NamedTuple):
    """Where a user goes who is asked whether to sign out."""

    redirect_uri: str | None
    state: str | None


class EndSessionEndpoint:
    """Shows the question, and takes the answer."""

    def __init__(self, state: State, browsers: Browsers) -> None:
        self._state = state
        self._browsers = browsers
        self._leaving: Remembered[_Leaving] = Remembered(_LIFETIME, _MOST)

    def answer(self) -> Response:
        """Answer a request to sign out, or the form of the question (RP-Initiated Logout section 2)."""
        sent = browser_parameters()
        if request.method == "POST" and "interaction" in sent:
            return self._browsers.refused(sent) or self._take_form(sent)
        try:
            leaving = self._read(with_values(sent))
        except LoginError as refusal:
            return refusal_page(refusal, "Signing out is not possible", explain=self._state.settings.explain)
        session = self._browsers.session()
        name = secrets.token_urlsafe(24)
        self._leaving.keep(name, leaving, machine_now())
        return self._browsers.form(
            "sign_out",
            name,
            "/session/end",
            redirect_uri=leaving.redirect_uri,
            user=session.user.called if session else "",
            wrong="",
        )

    def _read(self, parameters: MultiDict[str, str]) -> _Leaving:
        for name in parameters:
            if len(parameters.getlist(name)) > 1:
                raise LoginError(
                    "a parameter must not be provided twice", f"{shown(name)} more than once", "each parameter once"
                )
        client_id = parameters.get("client_id")
        if (hint := parameters.get("id_token_hint")) is not None:
            audience = self._audience(hint)
            if client_id not in {None, audience}:
                raise LoginError(
                    "client_id mismatch", f"client_id {shown(client_id)}", "the aud of the id_token_hint"
                )
            client_id = audience
        client = None if client_id is None else self._state.clients.get(client_id)
        if client_id is not None and client is None:
            raise LoginError("client is invalid", f"client_id {shown(client_id)}", "a registered client")
        redirect_uri = parameters.get("post_logout_redirect_uri")
        if redirect_uri is not None:
            if client is None:
                raise LoginError(
                    "post_logout_redirect_uri needs a client_id or an id_token_hint", "neither", "one of them"
                )
            if redirect_uri not in client.client.post_logout_redirect_uris:
                raise LoginError(
                    "post_logout_redirect_uri not registered",
                    f"post_logout_redirect_uri {shown(redirect_uri)}",
                    f"one of {shown(list(client.client.post_logout_redirect_uris))}, to the character",
                )
        return _Leaving(redirect_uri, parameters.get("state"))

    def _audience(self, id_token_hint: str) -> str:
        """Return the client of an ID token; an expired one will do (RP-Initiated Logout section 2)."""
        try:
            audience = self._state.keys.claims_of(id_token_hint)["aud"]
        except (JoseError, ValueError, KeyError):
            audience = None
        if not isinstance(audience, str):
            raise LoginError(
                "could not decode id_token_hint",
                "an id_token_hint that this sandbox did not sign",
                "an ID token of this run",
            )
        return audience

    def _take_form(self, form: MultiDict[str, str]) -> Response:
        leaving = self._leaving.take(form["interaction"], machine_now())
        if leaving is None:
            return expired()
        if form.get("action") != "continue":
            say("a user stayed signed in")
            return message("You are still signed in", "You may close this window.", status=200)
        session = self._browsers.end_session()
        if session is not None:
            session.ended = True
            say(f"{shown(session.user.username)} signed out")
        response = (
            message("You are signed out", "You may close this window.", status=200)
            if leaving.redirect_uri is None
            else redirect(leaving.redirect_uri, {} if leaving.state is None else {"state": leaving.state})
        )
        self._browsers.delete_session(response)
        return response
