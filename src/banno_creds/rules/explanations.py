"""What each OAuth error and each rule means, how it comes about and what to do: the one place of the long texts.

``banno-creds explain`` prints them, docs/errors.md is made of them (``make errors``), and a finding takes its fix
from here. They say what the vendor documents, what the RFCs ask and what node-oidc-provider does, which the vendor's
server is taken to be.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.rules.findings import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping


class Explanation(NamedTuple):
    """One error or one rule, for people.

    Backticks mark code, and a line that begins with four blanks is a command; there is no other markup.

    Attributes:
        title: what it is, without a full stop, 60 characters at the most.
        cause: what is looked at, how it comes about, how the server shows it.
        fix: what to do, one imperative sentence that stands in tables too: a small letter first, no full stop, no
            backticks, 140 characters at the most.
        more: further steps and commands.
    """

    title: str
    cause: str
    fix: str
    more: str = ""


_ERRORS: Mapping[str, Explanation] = {
    "invalid_client": Explanation(
        "The client could not be authenticated",
        'The server answers 401 `invalid_client` "client authentication failed" to more than a dozen different '
        "mistakes (RFC 6749 section 5.2), and never says which, so that whoever guesses learns nothing. Behind it "
        "may be: a client ID that the bank does not know; another private key than the one whose public half is "
        "registered; an `aud` that is not the token endpoint to the character; an `iss` or `sub` that is not the "
        "client ID; an `exp` that is missing, past, in milliseconds or more than 5 minutes ahead; a clock that is "
        "off (the server allows 15 seconds); a `jti` that is missing or was used before; an `alg` that is not "
        "allowed; a `kid` sent though a PEM is registered; an application that was set up for a client secret. "
        "Asking again does not help: addresses that fail too often are blocked.",
        "run banno-creds doctor with the same client ID and key: it names the cause, or what only the bank can check",
        "The usual ones have parts of their own: `client.unknown`, `client_id.malformed`, `client_id.placeholder`, "
        "`registration.key.mismatch`, `registration.auth_method`, `registration.alg`, `assertion.aud.mismatch`, "
        "`assertion.iss.mismatch`, `assertion.sub.mismatch`, `assertion.exp.past`, `assertion.exp.milliseconds`, "
        "`assertion.exp.too_far`, `clock.skew`, `assertion.jti.replayed`, `assertion.alg.unsupported`, "
        "`assertion.kid.unexpected`, `assertion.kid.unknown`, `assertion.signature.invalid`.\n\n"
        "Most of these can be told apart without asking the server at all. `banno-creds doctor` looks at the "
        "configuration, the key, the clock and the very assertion that would be sent, and asks the server once. "
        "Give it the public key that the bank has, as a file or as the JWKS URI, and it also compares the keys:\n\n"
        "    banno-creds doctor --client-id ID --private-key private.pem --registered public.pem\n\n"
        "What is left then only the bank can see; `doctor` prints the exact questions to put to its administrator. "
        "Where the administrator cannot say either, `--probe` varies one thing at a time, in at most 4 requests. "
        "`--bundle FILE` writes down all of it, without secrets, for a ticket.\n\n"
        "Where other software makes the assertion (Java, C#, Postman), have that assertion looked at. It is read "
        "from standard input, so that nobody sees it among the arguments:\n\n"
        "    banno-creds lint-assertion --client-id ID --public-key public.pem - < assertion.jwt\n\n"
        "The sandbox checks as the vendor's server does, and with `--explain` its answer names the rule that was "
        "broken:\n\n"
        "    banno-creds sandbox --client-id ID --public-key public.pem --explain",
    ),
    "invalid_request": Explanation(
        "The token request is not well-formed",
        "A parameter is missing, repeated, misspelt or contradicts another (RFC 6749 section 5.2), and the "
        '`error_description` says which. "no client authentication mechanism provided" means that no '
        "`client_assertion` arrived: it was misspelt (`client-assertion`), sent as JSON, or put into the URL. "
        "Parameters go form-encoded into the body of a POST.",
        "read the error_description, and compare the form that you send with what client-assertion --curl shows",
        "A request that is right, as a curl command with no secret in it:\n\n"
        "    banno-creds client-assertion --client-id ID --private-key private.pem --curl",
    ),
    "invalid_grant": Explanation(
        "The grant is not valid",
        "An authorization code or a refresh token is expired, revoked, was used before or belongs to another client, "
        "or the `redirect_uri` is not the one that the code was asked for with (RFC 6749 section 5.2). A code is "
        "good once and for about a minute. A request with `grant_type=client_credentials` carries no such grant; "
        "where it gets this answer all the same, the application is likely of another type than Service account.",
        "sign in again with banno-creds login; for client credentials ask whether the application is a Service "
        "account",
    ),
    "unauthorized_client": Explanation(
        "The client may not use this grant type",
        "The client was recognised, and its registration does not allow `client_credentials` (RFC 6749 section "
        "5.2). An application that was created for users' logins has `authorization_code` alone.",
        "ask the administrator for an application of the type Service account with Signed JWT",
        "See `registration.application_type`, which has the question to ask.",
    ),
    "unsupported_grant_type": Explanation(
        "The server does not support this grant type",
        "This server has no such grant at all, whoever asks (RFC 6749 section 5.2): `grant_type` is misspelt, or "
        "the token endpoint is that of a consumer API (`https://HOST/a/consumer/api/v0/oidc/token`), which serves "
        "users' logins and no `client_credentials`.",
        "send grant_type=client_credentials to the token endpoint of login.jackhenry.com, not to a consumer API's",
    ),
    "invalid_scope": Explanation(
        "A scope was asked for that is not allowed",
        "The client was authenticated, and a scope is unknown, malformed, or not one that the application was given "
        '(RFC 6749 section 5.2). The server says "requested scope is not allowed". The scope `full` of older '
        "examples was removed in 2025.",
        "ask for scopes that the application was given, openid alone to begin with: --scope openid",
        "See `request.scope.not_allowed`, which has the question to ask.",
    ),
    "unsupported_token_type": Explanation(
        "The server does not revoke such tokens",
        "A server need not revoke every kind of token (RFC 7009 section 2.2.1): access tokens that are JWTs are good "
        "until they end. `banno-creds logout` goes on then.",
        "wait for the token to end, and treat it as a secret until then",
    ),
    "invalid_redirect_uri": Explanation(
        "The redirect URI is not the registered one (page)",
        "The name that node-oidc-provider gives to the error page on which a login ends whose `redirect_uri` is not "
        "a registered one. The browser is not sent back, so that this tool learns nothing of it.",
        "give --redirect-uri exactly as it is registered, to the character",
        "See `authorization.redirect_uri.mismatch`.",
    ),
    "login_required": Explanation(
        "Nobody is signed in at the server",
        "The request said `prompt=none`, and the browser has no login at the server (OpenID Connect Core 1.0 section "
        "3.1.2.6).",
        "leave --prompt none out, and sign in",
    ),
    "interaction_required": Explanation(
        "The server has something to ask",
        "The request said `prompt=none`, and the server would have to show a page (OpenID Connect Core 1.0 section "
        "3.1.2.6).",
        "leave --prompt none out, and answer what the server asks",
    ),
    "consent_required": Explanation(
        "The user has not agreed yet",
        "The request said `prompt=none`, and the user has not consented to what this application asks for (OpenID "
        "Connect Core 1.0 section 3.1.2.6).",
        "leave --prompt none out, and agree once",
    ),
    "account_selection_required": Explanation(
        "The user has to choose an account",
        "The request said `prompt=none`, and the browser is signed in to several accounts (OpenID Connect Core 1.0 "
        "section 3.1.2.6).",
        "leave --prompt none out, and choose one",
    ),
    "invalid_target": Explanation(
        "The resource is not one that the client may use",
        "The `resource` parameter (RFC 8707 section 2) is unknown to the server, malformed, or not allowed for this "
        "application. The vendor's flow needs none.",
        "leave --resource out, or name one that the application may use: an absolute URI without a fragment",
    ),
    "invalid_dpop_proof": Explanation(
        "The DPoP proof is not valid",
        "The request carried a `DPoP` header (RFC 9449 section 5), and the proof in it did not verify: another URL "
        "or method, a clock that is off, a `jti` used before. DPoP is optional at the vendor's server, and this "
        "tool sends none.",
        "make a fresh DPoP proof for every request, over its exact method and URL, or send no DPoP header",
    ),
    "use_dpop_nonce": Explanation(
        "The server asks for its nonce in the DPoP proof",
        "The request carried a `DPoP` header whose proof lacks the nonce that the server gives in its `DPoP-Nonce` "
        "header (RFC 9449 section 8). DPoP is optional at the vendor's server, and this tool sends none.",
        "repeat the request once, with the value of the DPoP-Nonce header as the claim nonce of a new proof",
    ),
    "invalid_token": Explanation(
        "The API does not take the access token",
        "The access token is expired, revoked, malformed, or made for another API (RFC 6750 section 3.1); the API "
        "answers 401. An access token lives 600 seconds, and there is no refresh token: ask for a new one when it "
        "ends.",
        "get a new token with banno-creds token --force-refresh, and look at the old one with banno-creds decode",
        "A header that was copied with a line end or with quotes around it ends in the same answer.",
    ),
    "insufficient_scope": Explanation(
        "The access token lacks a scope that the API asks for",
        "The token is good, and does not have the scope that this call needs (RFC 6750 section 3.1); the API "
        'answers 403. Where it answers 403 with `{"errorCode":40}`, it is not the scope: the Associated User lacks '
        "the permission.",
        "ask for the scope that the API documents with --scope, and have the administrator give it to the "
        "application",
        "`banno-creds decode` shows which scopes the token has. See also `registration.user`.",
    ),
    "access_denied": Explanation(
        "The request was denied",
        "A user, or the server for them, said no at the login (RFC 6749 section 4.1.2.1): somebody pressed Cancel, "
        "or this user may not use the application or the institution. A token request with a client assertion "
        "involves no user and does not get this answer.",
        "start the login again in an ordinary browser window, and ask the institution if the denial repeats",
    ),
    "unsupported_response_type": Explanation(
        "The server does not support this response type",
        "The authorization request asked for another `response_type` than the server has (RFC 6749 section "
        "4.1.2.1). It concerns users' logins, where `response_type=code` is right; a client assertion needs none.",
        "send response_type=code in the authorization request",
    ),
    "server_error": Explanation(
        "The server met an error of its own",
        "Something failed inside the server (RFC 6749 section 4.1.2.1; at a token endpoint it comes with a 5xx "
        "status). Nothing that you sent need be wrong.",
        "try again later; in a support case, give the x-request-id, the date and the client ID",
        "This writes them down for a ticket, and no secret:\n\n"
        "    banno-creds doctor --client-id ID --private-key private.pem --bundle bundle.md",
    ),
    "temporarily_unavailable": Explanation(
        "The server cannot answer now",
        "It is overloaded or under maintenance (RFC 6749 section 4.1.2.1). Nothing that you sent need be wrong.",
        "try again later, and not before the Retry-After that the server may have sent",
    ),
}

_SET_UP: Mapping[str, Explanation] = {
    Rule.CONFIGURATION_INVALID: Explanation(
        "A setting cannot be meant",
        "An option, a `BANNO_CREDS_` variable or a profile has a value that could only be refused later and less "
        "clearly: a client ID with a line end, a lifetime over 300 seconds, two settings that exclude each other. "
        "An option comes before its variable, that before the profile, that before the default; a variable that was "
        "set long ago often wins over the profile that you look at.",
        "correct the setting that is named, at the place that is named with it",
        "`banno-creds doctor` says of each value where it came from; `banno-creds profile show` prints a profile.",
    ),
    Rule.CONFIGURATION_ENDPOINT: Explanation(
        "The token endpoint is not the vendor's",
        "The token endpoint is not one of those that the vendor documents: "
        "`https://login.jackhenry.com/a/oidc-provider/api/v0/token` (production) and "
        "`https://banno.com/a/oidc-provider/api/v0/token` (legacy). That is right for a sandbox or a server of your "
        "own. Else it is a typing error, an issuer or a discovery URL in the token endpoint's place, or an "
        "institution's consumer API (`https://HOST/a/consumer/...`), which serves users' logins and has no client "
        "credentials.",
        "leave --token-endpoint out for production, or take --environment legacy where your application is that old",
        "A slash at the end and a capital letter count: `aud` is the same URL, and is compared to the character. "
        "Where the issuer is known, have the token endpoint read from its discovery document:\n\n"
        "    banno-creds doctor --client-id ID --private-key private.pem --issuer https://login.jackhenry.com",
    ),
    Rule.CLIENT_ID_MALFORMED: Explanation(
        "The client ID has something around it or in it",
        "White space, quotes, a line end or a character outside of ASCII came along when the client ID was copied: "
        "from a mail, from a `.env` file whose quotes are not taken off, from a CI secret that was made with `echo` "
        "and so ends in a line end. Client IDs are compared to the character, and the server answers 401 "
        "`invalid_client`.",
        "copy the client ID again from Users & Groups, and nothing around it",
        "In a shell, `printf %s` stores a value without the line end that `echo` adds.",
    ),
    Rule.CLIENT_ID_PLACEHOLDER: Explanation(
        "The client ID is a placeholder",
        "What stands there is an example's text, such as `your-client-id` or `<client_id>`, or a variable that "
        "nobody filled in, such as `$CLIENT_ID` or Postman's `{{client_id}}`. In CI this is often a secret that the "
        "job may not read, or that has another name. No such client exists: the server answers 401 `invalid_client`.",
        "put the client ID that Users & Groups shows in its place",
    ),
    Rule.CLIENT_ID_CASE: Explanation(
        "The client ID is in the wrong case",
        "Some databases and tools write a UUID in capitals, and the vendor's client IDs are UUIDs in small letters. "
        "Client IDs are compared to the character (RFC 6749 section 2.2): to the server this is another client, and "
        "it answers 401 `invalid_client`.",
        "write the client ID exactly as Users & Groups shows it, small letters included",
    ),
    Rule.KEY_UNUSABLE: Explanation(
        "The private key cannot be used",
        "It is not there, cannot be read or opened, is a public key, a certificate or half of a PEM, or is of a "
        "sort that the provider does not take: it takes RSA from 2048 bits (`PS256`, `RS256`) and EC P-256 "
        "(`ES256`). In CI, PEM often loses its line ends on the way into a variable; `BANNO_CREDS_PRIVATE_KEY_PEM` "
        "takes PEM with `\\n` for line ends, and base64 of PEM.",
        "give the whole private key, RSA of 2048 bits or more or EC P-256, with --private-key FILE",
        "This makes a new pair; its public half has to be registered at the bank before it is good for anything:\n\n"
        "    banno-creds keygen",
    ),
    Rule.KEY_PERMISSIONS: Explanation(
        "Others on this machine can read or write the key",
        "The key file's mode lets other users read it, and whoever can read it can be this client; or lets them "
        "write it, and then nobody knows whose key it is. It happens with keys unpacked from archives, on shared "
        "folders, and where `umask` is 022. On Windows a file's mode says nothing, and this is not looked at.",
        "take the rights away: chmod 600 FILE; if others could read it for long, plan for a new key",
    ),
}

_REGISTRATION: Mapping[str, Explanation] = {
    Rule.REGISTRATION_UNREADABLE: Explanation(
        "The registered public key cannot be read",
        "What was given as the bank's copy is no public key in PEM, no JWK and no JWK Set. Usual ways to get there: "
        "the `BEGIN` and `END` lines were left out, a word processor turned the dashes into longer ones, the line "
        "ends were lost, or it is the one-line form of OpenSSH (`ssh-rsa AAAA...`). If the very same text was "
        "pasted into Users & Groups, the bank cannot verify anything with it.",
        "give the PEM that was pasted into Users & Groups, from -----BEGIN PUBLIC KEY----- to the last dash, or the "
        "JWKS",
        "The public half of a private key, in the right form:\n\n    banno-creds keygen --public-from private.pem",
    ),
    Rule.REGISTRATION_PRIVATE_KEY: Explanation(
        "A private key stands where the public one belongs",
        "What was given as the public key is the private one. Either the wrong file was named here, which does no "
        "harm; or the private key was pasted into Users & Groups, mailed, or published in a JWK Set, and then "
        "whoever saw it can be this client.",
        "if you only named the wrong file, give the public half; else treat this key as leaked: make and register "
        "another pair",
        "The public half, if the private key never left this machine:\n\n"
        "    banno-creds keygen --public-from private.pem\n\n"
        "If it did, or if the bank has it: taking it away again mends nothing. Make another pair, have "
        "new-public.pem registered in the place of the old one, and tell the administrator why:\n\n"
        "    banno-creds keygen --private-key new-private.pem --public-key new-public.pem",
    ),
    Rule.REGISTRATION_KEY_TYPE: Explanation(
        "The registered key is of a sort that cannot be used",
        "The provider takes signatures of RSA keys (`PS256`, `RS256`) and of EC keys on the curve P-256 (`ES256`). "
        "This one is of another type or curve (Ed25519, P-384, secp256k1), or a JWK that is meant for encryption "
        "(`use` is `enc`) or whose `key_ops` lack `verify`. No assertion can be verified with it: the server "
        "answers 401 `invalid_client`.",
        "make an RSA or P-256 pair with banno-creds keygen, and have its public.pem registered",
        "This makes an RSA pair of 2048 bits, and with `--type ec` one on P-256:\n\n    banno-creds keygen",
    ),
    Rule.REGISTRATION_KEY_SIZE: Explanation(
        "The registered RSA key is too small",
        "RFC 7518 sections 3.3 and 3.5 ask for 2048 bits or more of an RSA key that signs, and libraries refuse "
        "less. Keys of 1024 bits come from old key stores and old examples.",
        "make a key of 2048 bits or more with banno-creds keygen, and have its public.pem registered",
    ),
    Rule.REGISTRATION_KEY_MISMATCH: Explanation(
        "The bank has another public key than yours",
        "The public half of your private key is not among the registered keys, so no signature of yours can verify "
        "there: the server answers 401 `invalid_client`. It happens when the pair was made again after the "
        "registration, when there are several institutions and one key for each, when test and production were "
        "swapped, or when somebody pasted the public key of an example.",
        "sign with the private key whose public half is registered, or have yours registered in its place",
        "This writes the public half of your key to public.pem and says its fingerprint, to compare with the bank's "
        "copy:\n\n"
        "    banno-creds keygen --public-from private.pem\n\n"
        "A PEM at the bank is only replaced for cause, which can take weeks; look for the old private key first. "
        "With a JWKS URI you change the key yourself.",
    ),
    Rule.REGISTRATION_KID_REPEATED: Explanation(
        "Two registered keys have the same kid",
        "The JWK Set has more than one key with the same `kid` (RFC 7517 section 4.5 asks for different ones), "
        "often after a rotation that copied the old entry. Which of them a server tries is left to chance.",
        "give each key in the JWK Set a kid of its own, such as its RFC 7638 thumbprint",
    ),
    Rule.REGISTRATION_UNREACHABLE: Explanation(
        "The JWKS URI cannot be fetched",
        "The registered keys are at a URL, and from this machine nothing usable comes from there. The bank's "
        "provider fetches it by itself, from the Internet and without a login: a URL that needs a VPN, a cookie or "
        "an internal certificate authority works for you and not for it. Then it answers 401 `invalid_client`.",
        "open the JWKS URI from outside of your network: it has to answer 200 with JSON, over https, without a login",
        "To go on without it, give a copy of the keys as a file:\n\n"
        "    banno-creds doctor --client-id ID --private-key private.pem --registered jwks.json",
    ),
    Rule.CLIENT_UNKNOWN: Explanation(
        "The bank does not know this client ID",
        "The server looks the client up by the assertion's `sub`, and finds none. The application was deleted or "
        "never saved, the client ID is another institution's (each institution has an application of its own), or "
        "it belongs to another environment than this token endpoint. The server answers 401 `invalid_client`, as if "
        "it knew the client.",
        "compare the client ID with the one in Users & Groups, at the institution whose application it is",
    ),
    Rule.REGISTRATION_AUTH_METHOD: Explanation(
        "The application is not set up for Signed JWT",
        "The application was registered for a client secret, and a signed assertion, good as it may be, is not what "
        "the server expects of it. It answers 401 `invalid_client`. From outside it looks the same as a wrong key.",
        "ask the administrator to set the application's authentication to Signed JWT",
    ),
    Rule.REGISTRATION_ALG: Explanation(
        "The application is registered for another algorithm",
        "A registration can be bound to one algorithm. The provider takes `PS256`, `RS256` and `ES256`; where the "
        "registration names one, an assertion with another is refused as 401 `invalid_client`, though key and "
        "signature fit. This tool signs with PS256 for RSA, as the vendor's own helper does; many libraries sign "
        "with RS256.",
        "sign with the algorithm that the application is registered for: --alg PS256, --alg RS256 or --alg ES256",
        "`banno-creds doctor --probe` tries the other algorithm of an RSA key.",
    ),
    Rule.REGISTRATION_APPLICATION_TYPE: Explanation(
        "The application is not a Service account",
        "Only an external application of the type Service account may ask for a token by itself. One that was "
        "created for users' logins is refused: with `invalid_client`, `unauthorized_client` or `invalid_grant`, as "
        "its other settings have it.",
        "ask the administrator for an application of the type Service account; it gets a client ID of its own",
    ),
    Rule.REGISTRATION_USER: Explanation(
        "The Associated User is missing or lacks a permission",
        "A service account acts as the Associated User that the administrator chose for it. Where that user lacks a "
        'permission, the token is fine and the API answers 403 `{"errorCode":40}`.',
        "ask the administrator which user is associated, and give that user the permissions that the API needs",
    ),
}

_ASSERTION: Mapping[str, Explanation] = {
    Rule.ASSERTION_PRIVATE_KEY: Explanation(
        "A private key was given where the assertion belongs",
        "What should be a JWT is a private key. If it was sent to a server, pasted into a web page or written to a "
        "log, treat it as leaked.",
        "treat this key as leaked if it left this machine, and give the signed assertion in its place",
        "The assertion that your key signs:\n\n    banno-creds sign-jwt --client-id ID --private-key private.pem",
    ),
    Rule.ASSERTION_MALFORMED: Explanation(
        "The assertion is no compact JWS",
        "A client assertion is three parts of base64url, joined by two dots: header, payload, signature (RFC 7515 "
        "section 7.1), the first two of them JSON objects. It breaks when it is wrapped or cut off in copying, "
        "quoted, sent with `Bearer` before it, made with ordinary base64 (`+`, `/`, `=`), or encrypted. The server "
        'answers 400 `invalid_request` "invalid client_assertion format".',
        "send the compact form: header.payload.signature in base64url without padding, on one line",
    ),
    Rule.ASSERTION_TOKEN: Explanation(
        "This is a token, not a client assertion",
        "The JWT was issued by a server: an access token or an ID token, with another's `iss` and claims such as "
        "`scope`. A client assertion is what you sign yourself to get a token; a token in its place is refused. It "
        "happens when variables are swapped in Postman or in a script.",
        "send the JWT that you signed with your private key as client_assertion, and the token to the API",
        "`banno-creds decode` shows what a token says.",
    ),
    Rule.SUB_MISSING: Explanation(
        "The claim sub is missing",
        "`sub` names the client (RFC 7523 section 3), and the server looks the registration up by it. Many examples "
        "set `iss` alone. Without it the answer is 401 `invalid_client`.",
        "set sub to the client ID, the same as iss",
    ),
    Rule.SUB_MALFORMED: Explanation(
        "The claim sub is not a string",
        "`sub` has to be a JSON string (RFC 7519 section 4.1.2), and here it is a number, an array or an object. "
        "The server finds no client by it: 401 `invalid_client`.",
        "set sub to the client ID as a JSON string",
    ),
    Rule.SUB_MISMATCH: Explanation(
        "The claim sub is not the client ID",
        "`sub` has to be the client ID (RFC 7523 section 3), equal to `iss` and to the character: no user's name, "
        "no application's name, no blank or quote around it, no capitals. The server looks for another client, and "
        "answers 401 `invalid_client`.",
        "set sub to the client ID exactly as Users & Groups shows it, the same as iss",
    ),
    Rule.ALG_UNSUPPORTED: Explanation(
        "The algorithm is not one the provider takes",
        "The header's `alg` is to be `PS256`, `RS256` or `ES256`. `HS256` is the default of many JWT libraries and "
        "signs with a shared secret, which this provider has not; `none`, `RS384`, `ES512` and `EdDSA` are refused "
        "as well, with 401 `invalid_client`.",
        "sign with PS256 or RS256 and an RSA key, or with ES256 and a P-256 key",
    ),
    Rule.ALG_KEY_MISMATCH: Explanation(
        "The algorithm does not fit the registered key",
        "`PS256` and `RS256` go with an RSA key, `ES256` with one on P-256, and a JWK may be meant for one `alg` "
        "alone (RFC 7517 section 4.4). The registered key is of the other kind, so it cannot verify this: 401 "
        "`invalid_client`.",
        "sign with the algorithm of the registered key: PS256 or RS256 for RSA, ES256 for P-256",
    ),
    Rule.EXP_MISSING: Explanation(
        "The claim exp is missing",
        "`exp` says until when the assertion is good (RFC 7523 section 3), and the server insists on it. Libraries "
        "that set it for access tokens often do not for a claims set of one's own. The answer is 401 "
        "`invalid_client`.",
        "set exp to now + 60 seconds, as an integer in seconds, and 300 seconds ahead at the most",
    ),
    Rule.JTI_MISSING: Explanation(
        "The claim jti is missing or empty",
        "`jti` makes the assertion one of a kind, so that it can be used only once (RFC 7523 section 3). RFC 7523 "
        "leaves it optional, the vendor's server does not: 401 `invalid_client`.",
        "set jti to a fresh random UUID in every assertion",
    ),
    Rule.ISS_MISSING: Explanation(
        "The claim iss is missing",
        "`iss` names who signed, which is the client itself (RFC 7523 section 3). Without it the server answers 401 "
        "`invalid_client`.",
        "set iss to the client ID, the same as sub",
    ),
    Rule.ISS_MISMATCH: Explanation(
        "The claim iss is not the client ID",
        "In a client assertion `iss` and `sub` are both the client ID, to the character (RFC 7523 section 3). What "
        "often stands there instead: the issuer's URL, the name of the company or of the program, a client ID with "
        "a line end or in capitals, or that of another institution. The answer is 401 `invalid_client`.",
        "set iss to the client ID exactly as Users & Groups shows it, the same as sub",
    ),
    Rule.AUD_MISSING: Explanation(
        "The claim aud is missing",
        "`aud` says for which server the assertion is meant (RFC 7523 section 3), so that no other can use it. "
        "Without it the answer is 401 `invalid_client`.",
        "set aud to the exact URL of the token endpoint",
    ),
    Rule.AUD_MISMATCH: Explanation(
        "The claim aud is not the token endpoint",
        "`aud` is compared to the character with the token endpoint's URL and the issuer. What breaks it: a slash "
        "at the end, `http` for `https`, a capital, a port, the API's host `banno.com` for `login.jackhenry.com` or "
        "the other way round, the URL of a proxy or of the discovery document, or a URL copied from an older "
        "example. The answer is 401 `invalid_client`.",
        "set aud to the URL that the token request goes to, to the character: no slash at the end, https",
        "The vendor documents `https://login.jackhenry.com/a/oidc-provider/api/v0/token`, which is also what "
        "`banno-creds sign-jwt` sends unless it is told otherwise.",
    ),
    Rule.AUD_MALFORMED: Explanation(
        "The audience is an array that holds more than strings",
        "RFC 7519 section 4.1.3 wants one string, or an array of strings. The server looks for its own URL first, "
        "and refuses an array with anything else in it after the signature.",
        "set aud to one string: the token endpoint's exact URL",
    ),
    Rule.AUD_ARRAY: Explanation(
        "The claim aud is an array",
        "RFC 7519 section 4.1.3 allows an array, and oidc-provider takes one that has the right value in it. But "
        "the vendor documents one string, and an assertion that is meant for several servers can be used by each of "
        "them. Java and C# libraries write an array where several audiences were added, some always do.",
        "set aud to one string, the token endpoint's URL",
    ),
    Rule.CRIT_UNSUPPORTED: Explanation(
        "The header has crit",
        "`crit` lists extensions that the receiver has to understand (RFC 7515 section 4.1.11), `b64` for example. "
        "A server that does not understand one of them has to refuse the JWS: 401 `invalid_client`.",
        "leave crit, and the extensions that it lists, out of the header",
    ),
    Rule.KID_UNEXPECTED: Explanation(
        "A kid is sent, and the registered PEM has none",
        "The server looks for the registered key that has this `kid`. A key that was pasted as PEM has no `kid`, so "
        "none is found, and the answer is 401 `invalid_client`, though the key is right. Many JWT libraries add a "
        "`kid` by themselves.",
        "leave kid out of the header, or have a JWKS URI registered in place of the PEM",
        "With this tool: no `--kid`, no `kid` in the profile, no `BANNO_CREDS_KID`.",
    ),
    Rule.KID_MISSING: Explanation(
        "No kid is sent, and the server wants one",
        "A server may want to be told which key of a JWK Set signed. node-oidc-provider tries every key that fits, "
        "and wants no `kid`; so this is never found by looking, only by a further request: `banno-creds doctor "
        "--probe` names it where the same assertion was refused without a `kid` and accepted with one.",
        "send the kid that the JWK Set has for your key",
        "With this tool: `--kid thumbprint` for the key's own thumbprint (RFC 7638), or `--kid VALUE` for another.",
    ),
    Rule.KID_UNKNOWN: Explanation(
        "No registered key has this kid",
        "The JWK Set has no key with the `kid` of the header that also fits its `alg`. The key was rotated and the "
        "JWK Set not published yet, the `kid` is made up or of another form than in the set (a thumbprint here, a "
        "date there), or the set is another application's. The answer is 401 `invalid_client`.",
        "send the kid that the JWK Set has for your key, or publish your key under this kid",
        "With this tool `--kid thumbprint` sends the key's own thumbprint (RFC 7638), which `banno-creds keygen` "
        "prints.",
    ),
    Rule.KID_OTHER_KEY: Explanation(
        "The kid belongs to another key",
        "The JWK Set knows this `kid`, and the key under it is not the one that signed; yours is in the set under "
        "another `kid`, or not at all. The server tries only the key that the `kid` names: 401 `invalid_client`. It "
        "happens when a rotation changes the key and not the `kid`, or the other way round.",
        "send the kid that the JWK Set has for the very key that signs",
    ),
    Rule.SIGNATURE_INVALID: Explanation(
        "The signature does not verify",
        "The signature is not one that the registered key's private half made over this header and payload: 401 "
        "`invalid_client`. Usually another key signed. Else the JWT was changed after it was signed, or the "
        "signature has the wrong form: for `ES256` the 64 bytes R and S, not the DER that OpenSSL and Java's "
        "`SHA256withECDSA` give (RFC 7518 section 3.4); for `PS256` a salt of 32 bytes and MGF1 with SHA-256 "
        "(section 3.5). `banno-creds lint-assertion` names the form where the right key signed in a wrong one.",
        "sign with the private key whose public half is registered, over the very header and payload that you send",
        "The assertion that a key of yours signs correctly, to compare with:\n\n"
        "    banno-creds sign-jwt --client-id ID --private-key private.pem",
    ),
    Rule.NBF_MALFORMED: Explanation(
        "The claim nbf is not a number of seconds",
        "`nbf` has to be a JSON number, seconds since 1970 (RFC 7519 section 2); a string or a date in words is "
        "refused with 401 `invalid_client`. The vendor does not ask for `nbf`.",
        "leave nbf out, or write it as a JSON number of seconds",
    ),
    Rule.NBF_FUTURE: Explanation(
        "The assertion is not good yet",
        "`nbf` is more than 15 seconds ahead of the server's clock: this machine's clock is fast, the time is a "
        "local one and not UTC, or it is in milliseconds. The answer is 401 `invalid_client`.",
        "leave nbf out, or set it to the current time in UTC seconds; set this machine's clock",
    ),
    Rule.IAT_MALFORMED: Explanation(
        "The claim iat is not a number of seconds",
        "`iat` has to be a JSON number, seconds since 1970 (RFC 7519 section 2); a string or a date in words is "
        "refused with 401 `invalid_client`. The vendor does not ask for `iat`.",
        "leave iat out, or write it as a JSON number of seconds",
    ),
    Rule.IAT_FUTURE: Explanation(
        "The assertion was issued in the future",
        "`iat` is more than 15 seconds ahead of the server's clock: this machine's clock is fast, the time is a "
        "local one and not UTC, or it is in milliseconds. A server may refuse that with 401 `invalid_client`; "
        "oidc-provider itself looks at `iat` only where there is no `exp`.",
        "leave iat out, or set it to the current time in UTC seconds; set this machine's clock",
    ),
    Rule.EXP_MALFORMED: Explanation(
        "The claim exp is not a number",
        '`exp` has to be a JSON number, seconds since 1970 (RFC 7519 section 2). A string such as `"1795276861"`, '
        "which template languages, Postman and form builders make, or a date in words, is refused with 401 "
        "`invalid_client`.",
        "write exp as a JSON number of seconds, without quotes",
    ),
    Rule.EXP_MILLISECONDS: Explanation(
        "The claim exp is in milliseconds",
        "RFC 7519 section 2 wants seconds. Java's `System.currentTimeMillis()` and JavaScript's `Date.now()` give "
        "milliseconds, and the vendor's own helper and pages had them so before 2026-02. Read as seconds, such an "
        "assertion is good for tens of thousands of years: a server that only asks whether it has expired lets it "
        "pass, one that keeps to the limit of 5 minutes refuses it.",
        "divide by 1000: exp is in whole seconds, now + 60",
        "Java: `Instant.now().getEpochSecond() + 60`. C#: `DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 60`. "
        "JavaScript: `Math.floor(Date.now() / 1000) + 60`.",
    ),
    Rule.EXP_PAST: Explanation(
        "The assertion has expired",
        "`exp` is past by the server's clock, which allows a difference of 15 seconds: 401 `invalid_client`. The "
        "assertion was made once and kept (a Postman variable, a CI secret, a constant), this machine's clock is "
        "slow, the time is a local one and not UTC, which is hours off, or a lifetime such as 60 or 300 stands where "
        "a point in time belongs.",
        "sign a new assertion for every request, with exp at now + 60 seconds UTC, and set this machine's clock",
        "This compares this machine's clock with the server's, too (see `clock.skew`):\n\n"
        "    banno-creds doctor --client-id ID --private-key private.pem",
    ),
    Rule.EXP_TOO_FAR: Explanation(
        "The claim exp is more than 5 minutes ahead",
        "The vendor takes an assertion that is good for 5 minutes at the most. Libraries' defaults of an hour, a "
        "lifetime in another unit, a local time in place of UTC or a fast clock lead past it. A server that keeps "
        "to the limit answers 401 `invalid_client`.",
        "set exp to now + 60 seconds, 300 at the most, in UTC",
    ),
    Rule.JTI_MALFORMED: Explanation(
        "The claim jti is not a string",
        "`jti` has to be a JSON string (RFC 7519 section 4.1.7). A number, which a counter or a timestamp gives, is "
        "refused with 401 `invalid_client`.",
        "write jti as a JSON string, a fresh random UUID in every assertion",
    ),
    Rule.JTI_REPLAYED: Explanation(
        "The jti was used before",
        "An assertion may be used once: the server remembers its `jti` until it has expired (RFC 7523 section 3). "
        "Who sends the same assertion again, such as a retry in an HTTP library, a second click in Postman or two "
        "parallel jobs that share one, or uses a constant or a time in whole seconds as `jti`, gets 401 "
        "`invalid_client` from the second request on.",
        "make a new assertion with a fresh random jti for every request, retries included",
        "Whether it was used before cannot be seen in the assertion itself: only the server knows.",
    ),
    Rule.CLAIMS_UNEXPECTED: Explanation(
        "The assertion has claims that nobody expects",
        "The vendor documents `jti`, `aud`, `sub`, `iss` and `exp`; `iat` and `nbf` are common. Others, such as "
        "`scope`, `client_id` or `grant_type`, belong into the form if anywhere. A server passes over what it does "
        "not know, unless it is set up to refuse it.",
        "leave the further claims out, and send scope and the like as form parameters",
    ),
}

_REQUEST: Mapping[str, Explanation] = {
    Rule.CLIENT_ASSERTION_MISSING: Explanation(
        "No client_assertion arrived",
        "The body holds no parameter `client_assertion` and nothing else that could authenticate a client: it is "
        "misspelt (`client-assertion`), sent as JSON or multipart, put into the URL, or the `Content-Type` is not "
        '`application/x-www-form-urlencoded`. The server answers 400 `invalid_request` "no client authentication '
        'mechanism provided".',
        "send client_assertion and client_assertion_type form-encoded in the body of the POST",
        "A request that is right, as a curl command with no secret in it:\n\n"
        "    banno-creds client-assertion --client-id ID --private-key private.pem --curl",
    ),
    Rule.CLIENT_AUTHENTICATION_SEVERAL: Explanation(
        "The client authenticates in more than one way",
        "Beside the assertion there is a `client_secret` or an `Authorization` header, which many HTTP libraries "
        "and Postman's Authorization tab add by themselves. RFC 6749 section 2.3 allows one way in each request; "
        'the server answers 400 `invalid_request` "client authentication must only be provided using one mechanism".',
        "send the client_assertion alone: no client_secret, no Authorization header",
    ),
    Rule.CLIENT_ASSERTION_TYPE_MISSING: Explanation(
        "client_assertion_type is missing",
        "Beside `client_assertion` goes what sort of assertion it is (RFC 7521 section 4.2). The server answers 400 "
        '`invalid_request` "client_assertion_type must be provided".',
        "send client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    ),
    Rule.CLIENT_ASSERTION_TYPE_UNSUPPORTED: Explanation(
        "client_assertion_type has another value",
        "There is one value for a signed JWT (RFC 7523 section 2.2). It was cut off, encoded twice (`%253A`), or is "
        "`urn:ietf:params:oauth:grant-type:jwt-bearer`, which is a grant type and looks alike. The server answers "
        "400 `invalid_request`.",
        "send client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    ),
    Rule.CLIENT_ID_MISMATCH: Explanation(
        "client_id and the assertion name different clients",
        "The parameter `client_id` is optional beside an assertion, and has to equal its `sub` (RFC 7521 section "
        '4.2). The server answers 400 `invalid_request` "client_id mismatch". With several institutions, one of the '
        "two is often the other institution's.",
        "leave the parameter client_id out, or set it to the assertion's sub",
    ),
    Rule.PARAMETER_REPEATED: Explanation(
        "A parameter is sent twice",
        "RFC 6749 section 3.2 allows each parameter once (`resource` is the exception, RFC 8707). It happens where "
        "a library sends a parameter by itself and the caller adds it once more. The server answers 400 "
        "`invalid_request`.",
        "send each parameter once; several scopes go into one scope, separated by blanks",
    ),
    Rule.GRANT_TYPE_MISSING: Explanation(
        "grant_type is missing",
        "A token request says which grant it wants (RFC 6749 section 4.4.2). The server answers 400 "
        "`invalid_request` \"missing required parameter 'grant_type'\".",
        "send grant_type=client_credentials",
    ),
    Rule.GRANT_TYPE_UNSUPPORTED: Explanation(
        "Another grant_type than client_credentials",
        "A service account has one grant, `client_credentials`. `authorization_code` and `refresh_token` belong to "
        "users' logins; `urn:ietf:params:oauth:grant-type:jwt-bearer` sends an assertion as the grant, which is "
        "another thing than one that authenticates the client. The server answers 400 `unsupported_grant_type`.",
        "send grant_type=client_credentials",
    ),
    Rule.SCOPE_NOT_ALLOWED: Explanation(
        "The application was not given this scope",
        "Each application has a list of scopes, and one was asked for that is not on it. The client was "
        'authenticated: key and assertion are right. The server answers 400 `invalid_scope` "requested scope is not '
        'allowed". Scopes are compared to the character, and `full` of older examples was removed in 2025.',
        "ask for the scopes that the application was given, with --scope, or have the administrator add this one",
        "Whether all else works:\n\n    banno-creds token --client-id ID --private-key private.pem --scope openid",
    ),
    Rule.RESOURCE_MALFORMED: Explanation(
        "A resource is not an absolute URI",
        "`resource` is an absolute URI without a fragment (RFC 8707 section 2): `https://host/path`, not `/path`, "
        "not a name. The server answers 400 `invalid_target`. The vendor's flow needs none.",
        "leave resource out, or send an absolute URI without a fragment",
    ),
}

_NETWORK: Mapping[str, Explanation] = {
    Rule.NETWORK_PROXY: Explanation(
        "The proxy cannot be used, or refuses",
        "The proxy that `HTTPS_PROXY`, `ALL_PROXY` or the system names is no usable URL, or does not let the "
        "connection through: 407 asks for a user name and a password, 403 means that the host is not allowed, 502 "
        "and 503 that it could not be reached. Nothing reached the bank. A connection to this very machine never "
        "goes through a proxy.",
        "check the proxy's URL and credentials in HTTPS_PROXY, or exempt the host with NO_PROXY",
        "Characters such as `#`, `/`, `?` and `@` in the proxy's password have to be percent-encoded.",
    ),
    Rule.NETWORK_DNS: Explanation(
        "The host's name cannot be resolved",
        "DNS knows no address for the host (or for the proxy): a typing error in the URL, no network, a resolver "
        "that knows internal names alone, or a container without one. Where a proxy is needed, names outside are "
        "often not resolved at all.",
        "check the host's spelling and this machine's DNS; where a proxy is needed, set HTTPS_PROXY",
    ),
    Rule.NETWORK_CONNECTION: Explanation(
        "No connection to the host",
        "The name has an address, and nobody answers there: the connection was refused (nothing listens on that "
        "port), there is no route, or a firewall drops what is sent. In offices and in CI, connections to the "
        "outside are often open through a proxy only. An address that failed too often may be blocked by the bank.",
        "check host and port, the firewall's rules for outgoing connections, and whether HTTPS_PROXY is needed",
    ),
    Rule.NETWORK_TLS_HANDSHAKE: Explanation(
        "TLS could not be agreed on",
        "Something listens on the port, and no TLS 1.2 or later came about with it: the port speaks another "
        "protocol, a gateway is too old, or something in between cuts the connection. `WRONG_VERSION_NUMBER` means "
        "that the port most likely speaks plain http.",
        "check that the port speaks TLS (1.2 or later), and what stands between this machine and the server",
        "A sandbox on this machine speaks plain http: write `http://127.0.0.1:9400/...`. The other way round, plain "
        "http to a port that speaks TLS ends in a closed connection or in 400 with an HTML page (see "
        "`network.answer`).",
    ),
    Rule.NETWORK_TLS_UNTRUSTED: Explanation(
        "The server's certificate is from an unknown authority",
        "No authority that this machine trusts has signed the certificate. Its issuer tells why: the name of your "
        "own company or of a security product means an inspecting proxy, whose root certificate has to be trusted; "
        "that of a hotel or an airport means its login page; that of a test means a self-signed certificate. A "
        "container may lack the authorities altogether. Nothing was sent.",
        "trust your organisation's root certificate with --ca-bundle FILE; on a captive portal, log in first",
        "Trusted is what the operating system trusts, or what `SSL_CERT_FILE` or `SSL_CERT_DIR` name, or "
        "`--ca-bundle` instead. There is no option that switches the check off: the assertion would go to whoever "
        "answers.",
    ),
    Rule.NETWORK_TLS_EXPIRED: Explanation(
        "The server's certificate is out of its time",
        "The certificate has expired, or is not valid yet. A public server's is renewed in time, so look at this "
        "machine's clock first; next, at an inspecting proxy or a gateway of your own. Nothing was sent.",
        "check this machine's date and clock; if they are right, tell whoever runs the server or the proxy",
    ),
    Rule.NETWORK_TLS_HOST: Explanation(
        "The server's certificate is for another host",
        "The certificate is trusted, and does not name the host that was asked for: the URL has an IP address or "
        "another name in it, DNS or /etc/hosts leads elsewhere, or a gateway answers with its own. Nothing was sent.",
        "use the host's name as the certificate has it, and check where DNS and /etc/hosts lead",
    ),
    Rule.NETWORK_TIMEOUT: Explanation(
        "No answer in time",
        "The connection stood, and no whole answer came within the time allowed (30 seconds by default). The server "
        "or a gateway is slow, or something in between swallows the answer.",
        "try again later, or allow more time with --timeout SECONDS",
    ),
    Rule.NETWORK_ANSWER: Explanation(
        "The answer is not the provider's",
        "What came back is not what a token endpoint sends: an HTML page, a redirect, an empty or a broken answer. "
        "A captive portal (the login page of a guest network), an inspecting proxy, a firewall or a login page "
        "answers in its place, or the URL is not a token endpoint. A redirect is never followed: the assertion is "
        "for the configured endpoint alone.",
        "check the URL, and open it in a browser from the same network to see who answers",
        "404 and 405 are what a web server says where no token endpoint is: look at the URL's path. 403 with an HTML "
        "page comes from a firewall before the server, which knows nothing of clients and scopes: show its operator, "
        'or the bank, the time and what the page says. 400 with "plain HTTP request" means that the port wants '
        "https.",
    ),
    Rule.NETWORK_UNAVAILABLE: Explanation(
        "The server cannot answer now",
        "It answered 429 (too many requests) or 5xx: an overload, a maintenance, a gateway whose server is away. "
        "The request need not be wrong. The vendor asks for the `x-request-id`, the date and the client ID in a "
        "support case.",
        "try again later and less often; in a support case, give the x-request-id, the date and the client ID",
        "This writes them down for a ticket, and no secret:\n\n"
        "    banno-creds doctor --client-id ID --private-key private.pem --bundle bundle.md",
    ),
    Rule.DISCOVERY_MISSING: Explanation(
        "There is no discovery document",
        "Nothing usable is at the issuer's `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 "
        "section 4). The issuer was misspelt, or is a token endpoint and no issuer.",
        "check the issuer; the vendor's is in https://login.jackhenry.com/.well-known/openid-configuration",
        "Where the token endpoint is given by itself, `banno-creds doctor` goes on without the document.",
    ),
    Rule.DISCOVERY_ISSUER: Explanation(
        "The discovery document is another issuer's",
        "The `issuer` that the document names is not the one it was fetched for, and the two have to be equal to "
        "the character (OpenID Connect Discovery 1.0 section 4.3): a slash at the end, a capital letter, `www.`, or "
        "an older host makes the difference. Issuers are read from the document, never built by hand.",
        "use the issuer as the discovery document names it, to the character, if that document is the right one",
    ),
    Rule.DISCOVERY_TOKEN_ENDPOINT: Explanation(
        "Discovery names another token endpoint",
        "The provider's discovery document names another token endpoint than the one that is configured, or none. "
        "The request, or the `aud` of the assertion, may go to the wrong address: a retired host, another "
        "environment, a consumer API's.",
        "use the token endpoint that discovery names, or leave --token-endpoint out",
        "A slash at the end and a capital letter make it another one. `banno-creds doctor` warns of it and asks for "
        "a token all the same.",
    ),
    Rule.DISCOVERY_AUTHORIZATION_ENDPOINT: Explanation(
        "Discovery names no authorization endpoint",
        "The discovery document names no `authorization_endpoint`, or one that cannot be used, so that nobody can "
        "sign in there: this issuer serves client credentials alone, or it is not the one that was meant.",
        "check the issuer; the document has to name the authorization endpoint",
    ),
    Rule.DISCOVERY_AUTH_METHOD: Explanation(
        "The server does not offer private_key_jwt",
        "`token_endpoint_auth_methods_supported` in the discovery document does not list `private_key_jwt`, which "
        "is the name for a signed JWT: going by this, the server takes no client assertion signed with a private "
        "key.",
        "check that the issuer and the token endpoint are the right ones: the vendor's server takes a signed JWT",
        "It is a warning: what a server says that it takes, and what it takes, can differ.",
    ),
    Rule.DISCOVERY_ALG: Explanation(
        "The server does not offer this algorithm",
        "`token_endpoint_auth_signing_alg_values_supported` in the discovery document does not list the algorithm "
        "that the assertion is signed with. That is a warning; a server that means it answers 401 `invalid_client`.",
        "sign with an algorithm that the server lists, with --alg",
    ),
    Rule.DISCOVERY_GRANT_TYPE: Explanation(
        "The server does not offer client_credentials",
        "`grant_types_supported` in the discovery document does not list `client_credentials`. So it is with the "
        "consumer API of an institution (`https://HOST/a/consumer/api/v0/oidc`), which serves users' logins. That is "
        "a warning; a server that means it answers 400 `unsupported_grant_type`.",
        "use the token endpoint of login.jackhenry.com, not that of an institution's consumer API",
    ),
    Rule.DISCOVERY_SCOPE: Explanation(
        "The server does not list this scope",
        "`scopes_supported` in the discovery document does not list a scope that is asked for. A server need not "
        "list all (RFC 8414 section 2), so this is a warning: it may be misspelt, or `full`, which was removed in "
        "2025.",
        "check the scope's spelling against the API's documentation",
    ),
    Rule.DISCOVERY_JWKS: Explanation(
        "The server's keys cannot be fetched",
        "The JWK Set that the discovery document names cannot be fetched, or has no key that can be used. A token "
        "can be had without it; whether a token is genuine cannot be verified.",
        "try again later; if it stays so, check whether a proxy or a firewall lets this URL through",
    ),
    Rule.CLOCK_SKEW: Explanation(
        "This machine's clock is off",
        "The assertion's times are made by this machine's clock and judged by the server's, which allows a "
        "difference of 15 seconds. With more, an assertion can have expired before it arrives, or not be good yet: "
        "401 `invalid_client`; one of 60 seconds may still be taken, until the clock has gone further astray. "
        "`banno-creds doctor` compares with the `Date` of the server's answers, warns at 10 seconds and fails past "
        "15. Virtual machines that were asleep, containers on a laptop and machines without NTP (the protocol that "
        "sets clocks) are the usual ones.",
        "set this machine's clock by NTP, and leave that on",
        "On Linux with systemd and on Windows:\n\n"
        "    timedatectl set-ntp true\n\n"
        "    w32tm /resync\n\n"
        "A container has its host's clock: set it there.",
    ),
    Rule.TOKEN_REQUEST: Explanation(
        "The token request brought no token",
        "The last thing that `banno-creds doctor` does is to ask for a token, once. What is behind a refusal is "
        "named by the OAuth error and by what was found before.",
        "read the OAuth error that is named with it, then the causes that doctor has not ruled out",
        "See `invalid_client`.",
    ),
}

_LOGIN: Mapping[str, Explanation] = {
    Rule.AUTHORIZATION_REDIRECT_URI_MISMATCH: Explanation(
        "The redirect URI is not the registered one",
        'The server shows an error page that says "redirect_uri did not match" and sends the browser nowhere: the '
        "`redirect_uri` of the request is not one of those that the application was registered with. They are "
        "compared to the character (RFC 6749 section 3.1.2.3): scheme, port, case and a slash at the end count, and "
        "`localhost` is not `127.0.0.1`.",
        "give --redirect-uri exactly as it is registered, or have this one registered",
        "Without the option it is `https://localhost:8080/auth/cb`, that of the vendor's own example.",
    ),
    Rule.AUTHORIZATION_STATE_UNEXPECTED: Explanation(
        "The answer belongs to another login",
        "The `state` that the browser brought back is not the one that this login was begun with (RFC 6749 section "
        "10.12). Mostly it comes from an older tab. It may also be an attempt to have you use the login of somebody "
        "else: the code in it was not used.",
        "begin again and use the newest browser tab",
    ),
    Rule.AUTHORIZATION_ISS_UNEXPECTED: Explanation(
        "The answer comes from another issuer",
        "The `iss` that the browser brought back is not the issuer that was asked, or is missing although this "
        "issuer says that it sends it (RFC 9207). So it is when a login at one server is answered by another, which "
        "would then be given the code of the first (a mix-up attack). The code was not used.",
        "begin again in a fresh browser window; if it stays so, tell the server's operator",
    ),
    Rule.ID_TOKEN_MISSING: Explanation(
        "There is no id_token that can be read",
        "The token response has no `id_token`, or one that is no JWT, so that nobody knows who signed in. An "
        "authorization server gives one where the scope `openid` was asked for (OpenID Connect Core 1.0 section "
        "3.1.3.3). Nothing was kept.",
        "check that the issuer is an OpenID Connect provider, and tell its operator",
    ),
    Rule.ID_TOKEN_ALG_UNEXPECTED: Explanation(
        "The id_token is signed with another algorithm",
        "The header of the id_token names an `alg` that the issuer's discovery document does not name, or none at "
        "all, or one with a shared secret (RFC 8725 section 3.1). RS256, PS256 and ES256 are taken where the "
        "document names them. Nothing was kept.",
        "tell the server's operator which alg the id_token has; do not rely on it",
        "A library that expects RS256 whatever the document says fails here with words like "
        '"unexpected JWT alg received, expected RS256, got: ES256"; this tool accepts what discovery says.',
    ),
    Rule.ID_TOKEN_SIGNATURE_UNVERIFIED: Explanation(
        "The id_token's signature does not verify",
        "None of the issuer's keys, as its `jwks_uri` has them now, made the signature of the id_token. The token "
        "was changed on the way, another server made it, or the keys were changed a moment ago. Nothing was kept.",
        "begin again; if it stays so, tell the server's operator",
    ),
    Rule.ID_TOKEN_ISS_UNEXPECTED: Explanation(
        "The id_token is another issuer's",
        "The `iss` of the id_token is not the issuer that was asked, to the character (OpenID Connect Core 1.0 "
        "section 3.1.3.7). Nothing was kept.",
        "check the issuer; if it is right, tell the server's operator",
    ),
    Rule.ID_TOKEN_AUD_UNEXPECTED: Explanation(
        "The id_token is for another client",
        "The `aud` of the id_token does not name this client ID, or it names several clients and `azp` is another "
        "one (OpenID Connect Core 1.0 section 3.1.3.7). A token that was made for another application proves nothing "
        "here. Nothing was kept.",
        "check the client ID; if it is right, tell the server's operator",
    ),
    Rule.ID_TOKEN_SUB_UNEXPECTED: Explanation(
        "The id_token does not say who signed in",
        "The `sub` of the id_token is missing or no text, or it is another person's than the one of the login whose "
        "tokens were renewed, or the userinfo endpoint speaks of somebody else (OpenID Connect Core 1.0 sections "
        "5.3.2 and 12.2).",
        "begin again; if it stays so, tell the server's operator",
    ),
    Rule.ID_TOKEN_EXPIRED: Explanation(
        "The id_token has expired",
        "The `exp` of the id_token is missing, no number of seconds, or more than 300 seconds ago by this machine's "
        "clock. A token that was just given has not expired: one of the two clocks is off. Nothing was kept.",
        "compare this machine's clock with the server's, and set it by NTP",
        "See `clock.skew`.",
    ),
    Rule.ID_TOKEN_IAT_FUTURE: Explanation(
        "The id_token was issued in the future",
        "The `iat` or `nbf` of the id_token is missing, no number of seconds, or more than 300 seconds ahead of this "
        "machine's clock. Nothing was kept.",
        "compare this machine's clock with the server's, and set it by NTP now",
        "See `clock.skew`.",
    ),
    Rule.ID_TOKEN_NONCE_UNEXPECTED: Explanation(
        "The id_token belongs to another login",
        "The `nonce` of the id_token is not the one that was sent with this login's request, or is missing (OpenID "
        "Connect Core 1.0 section 3.1.2.1). It ties the token to the login: one that is used a second time (a "
        "replay) has another. Nothing was kept.",
        "begin again; if it stays so, tell the server's operator: it has to repeat the nonce",
    ),
    Rule.ID_TOKEN_AT_HASH_UNEXPECTED: Explanation(
        "The id_token came with another access token",
        "The `at_hash` of the id_token is not the hash of the access token beside it (OpenID Connect Core 1.0 "
        "section 3.1.3.6): the two were not issued together. Nothing was kept.",
        "begin again; if it stays so, tell the server's operator, and do not use the access token",
    ),
    Rule.ID_TOKEN_AUTH_TIME_TOO_OLD: Explanation(
        "The person signed in too long ago",
        "A maximum age was asked for (`max_age`), and the `auth_time` of the id_token is missing or longer ago "
        "(OpenID Connect Core 1.0 section 3.1.2.1). Nothing was kept.",
        "sign in anew: add --prompt login",
    ),
    Rule.SESSION_MISSING: Explanation(
        "Nobody is signed in",
        "There is no login for this profile or client. It belongs to the profile, or without one to the client ID "
        "and the issuer; a profile that was changed in one of these is another one. It also belongs to the user of "
        "this machine, and rests in that user's folder for such files, or where `BANNO_CREDS_STATE_DIR` says.",
        "sign in with banno-creds login, and name the same profile or client ID afterwards",
    ),
    Rule.SESSION_ENDED: Explanation(
        "The login has ended",
        "The access token has ended, and there is no refresh token, or the server did not take it any more: it had "
        "expired, was revoked, or was used a second time, and then a server takes the whole login for stolen (RFC "
        "9700 section 4.14.2).",
        "sign in again with banno-creds login",
        "A refresh token comes where a scope such as `offline_access` was asked for, on the consumer side "
        "`https://api.banno.com/consumer/auth/offline_access`, and the application was given it.",
    ),
    Rule.SESSION_BUSY: Explanation(
        "Another process is renewing the login",
        "A refresh token is good once, so that one process uses it and the others wait. One has kept them waiting "
        "for as long as `--timeout` allows, and it is never taken from it. When that process ends, however it does, "
        "the next one goes on.",
        "try again; if it stays so, end the other banno-creds",
    ),
    Rule.SESSION_KEYRING: Explanation(
        "The keyring does not give the refresh token",
        "At the login the refresh token was put into the operating system's keyring, and it does not come out of it "
        "now: the keyring is locked, this is a session without it (cron, SSH), the package keyring is not installed "
        "here, or somebody removed the entry.",
        "unlock the keyring, or sign in again with banno-creds login",
        "Without a keyring the refresh token rests in a file that is its owner's alone. For a machine where nobody "
        "unlocks one, set `PYTHON_KEYRING_BACKEND` to `keyring.backends.null.Keyring` before the login.",
    ),
}

GROUPS: Mapping[str, Mapping[str, Explanation]] = {
    "OAuth errors": _ERRORS,
    "The set-up on this machine": _SET_UP,
    "What the bank has": _REGISTRATION,
    "The client assertion": _ASSERTION,
    "The token request": _REQUEST,
    "The way to the server": _NETWORK,
    "A person's login": _LOGIN,
}
"""All explanations by their ids, under the headings they stand under."""

EXPLANATIONS: Mapping[str, Explanation] = dict(chain.from_iterable(group.items() for group in GROUPS.values()))
"""All explanations by their ids: each `Rule`, and each error code of RFC 6749, 6750, 7009, 8707, 9449 and OpenID."""

QUESTIONS: Mapping[str, str] = {
    Rule.REGISTRATION_KEY_MISMATCH: "Which public key does the external application with the client ID {client_id} "
    "have in Users & Groups, as PEM or under its JWKS URI? Ours has the fingerprint {fingerprint} (the SHA-256 of "
    "the public key); please compare, or send us the key that is there, which is no secret.",
    Rule.CLIENT_UNKNOWN: "Is there an external application with exactly the client ID {client_id} in Users & Groups "
    "at your institution, saved and active?",
    Rule.REGISTRATION_AUTH_METHOD: "Is the authentication of the external application {client_id} in Users & Groups "
    "set to Signed JWT, and not to a client secret?",
    Rule.REGISTRATION_ALG: "Is the external application {client_id} in Users & Groups bound to one signature "
    "algorithm, and to which? Our assertion is signed with {alg}.",
    Rule.REGISTRATION_APPLICATION_TYPE: "Is the external application {client_id} in Users & Groups of the type "
    "Service account?",
    Rule.REGISTRATION_USER: "Which Associated User does the external application {client_id} have in Users & "
    "Groups, is that user active, and does that user have the permissions for what we call?",
    Rule.SCOPE_NOT_ALLOWED: "Which scopes does the external application {client_id} have in Users & Groups? We ask "
    "for: {scope}.",
}
"""What to ask the bank's administrator where only the bank can look: for `str.format` with ``client_id``,
``fingerprint`` (as `PublicKey.fingerprint` gives it), ``alg`` and ``scope``."""


def question(name: str) -> str | None:
    """The question for the administrator, with the names of what is to be filled in.

    Args:
        name: a rule's id.

    Returns:
        The question; None where nobody need be asked.
    """
    text = QUESTIONS.get(name)
    if text is None:
        return None
    return text.format(client_id="CLIENT_ID", fingerprint="FINGERPRINT", alg="ALG", scope="SCOPE")


def paragraphs(name: str) -> list[str]:
    """What there is to say under an id: the cause, the fix, what is more, the question.

    Args:
        name: one of `EXPLANATIONS`.

    Returns:
        The paragraphs; one that begins with four blanks is a command.
    """
    explanation = EXPLANATIONS[name]
    more = explanation.more.split("\n\n") if explanation.more else []
    asked = question(name)
    return [
        explanation.cause,
        f"Fix: {explanation.fix}.",
        *more,
        *([] if asked is None else [f"Ask the administrator: {asked}"]),
    ]


def meant(text: str) -> tuple[str, ...]:
    """The ids that somebody may mean.

    Args:
        text: an id, or the beginning, the ending or another part of one, in any case.

    Returns:
        The one that it is; else all that begin so, else that end so, else that have it between dots.
    """
    text = text.strip(" \t\r\n`'\"()[]:,.").lower()
    if not text:
        return ()
    if text in EXPLANATIONS:
        return (text,)
    begin = tuple(name for name in EXPLANATIONS if name.startswith(text))
    end = tuple(name for name in EXPLANATIONS if name.endswith(f".{text}"))
    return begin or end or tuple(name for name in EXPLANATIONS if f".{text}." in name)


def wrap(text: str, columns: int, hang: str = "") -> list[str]:
    """Break a paragraph into lines. A word and what stands in backticks stay whole, to be copied and searched for.

    Args:
        text: the paragraph.
        columns: the most characters of a line that can be broken.
        hang: what the lines after the first begin with.

    Returns:
        The lines.
    """
    from textwrap import wrap as broken

    whole = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), text)
    lines = broken(whole, columns, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]
