"""A person's login: signing in through the browser, the tokens that follow, and signing out (OpenID Connect).

Rooms that the command line and `api` import:

- `authorization_code`: the login from top to bottom; begin here;
- `authorization_request`: the request, and the answer that the browser brings back;
- `refresh_token`: the person's access token, from the login or renewed;
- `userinfo`: who is signed in; `revocation`: the end of a login;
- `session`: the login as a value; `session_store`: where it is kept;
- `steps`: what happened, as records.

Internal: `provider` (the discovery document), `id_token` (its checks) and `keyring`.
"""
