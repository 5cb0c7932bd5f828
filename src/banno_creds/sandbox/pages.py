"""The pages of the login and the logout. They run no script, and load nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Response
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

_STYLE: Final = """
:root { color-scheme: light dark; --ground: #f3f4f6; --card: #fff; --text: #1b2430; --quiet: #5a6675;
  --line: #c9d0d9; --accent: #1f5fae; --on-accent: #fff; --wrong: #a3211b; --wrong-ground: #fdeceb; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181d; --card: #1d232b; --text: #e8ecf1;
  --quiet: #a3adba; --line: #3d4855; --accent: #7db4f5; --on-accent: #10202f; --wrong: #ffb4ad;
  --wrong-ground: #43201e; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 25rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  padding: 2rem; overflow-wrap: anywhere; }
.badge { display: inline-block; margin: 0 0 1rem; padding: .1rem .6rem; border: 1px solid var(--line);
  border-radius: 1rem; color: var(--quiet); font-size: .8rem; }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1.25rem; color: var(--quiet); }
p strong { color: var(--text); font-weight: 600; }
label { display: block; margin: 0 0 .25rem; font-weight: 600; }
input[type=text], input[type=password] { width: 100%; margin: 0 0 1rem; padding: .6rem .7rem; font: inherit;
  color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: .4rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
.choice { display: flex; gap: .75rem; align-items: center; margin: 0 0 .5rem; padding: .7rem .8rem; font-weight: 400;
  border: 1px solid var(--line); border-radius: .4rem; cursor: pointer; }
.choice input { accent-color: var(--accent); width: 1.1rem; height: 1.1rem; margin: 0; flex: none; }
.choice small { display: block; color: var(--quiet); font-size: .75rem; }
.buttons { display: flex; gap: .75rem; margin-top: 1.5rem; flex-wrap: wrap; }
button { flex: 1 1 8rem; padding: .65rem .5rem; font: inherit; font-weight: 600; border-radius: .4rem;
  cursor: pointer; border: 1px solid var(--accent); background: var(--accent); color: var(--on-accent); }
button.quiet { background: none; color: inherit; border-color: var(--line); }
.wrong { padding: .6rem .8rem; border-radius: .4rem; background: var(--wrong-ground); color: var(--wrong); }
ul { margin: 0 0 1.25rem; padding-left: 1.2rem; }
fieldset { margin: 0; padding: 0; border: 0; min-width: 0; }
legend { padding: 0; margin: 0 0 .5rem; font-weight: 600; }
code { font-size: .9em; }
@media (max-width: 30rem) { body { padding: 0; place-items: stretch; } main { border: 0; border-radius: 0;
  max-width: none; padding: 1.5rem; } }
"""

_TEMPLATES: Final = {
    "frame": """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{% block title %}{% endblock %} · banno-creds sandbox</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<div class="badge">Sandbox · no real account</div>
{% block body %}{% endblock %}
</main>
</body>
</html>
""",
    "form": """{% extends "frame" %}
{% block body %}
<h1>{{ self.title() }}</h1>
{% block lead %}{% endblock %}
{% if wrong %}<p class="wrong" role="alert">{{ wrong }}</p>{% endif %}
<form method="post" action="{{ action }}">
<input type="hidden" name="interaction" value="{{ interaction }}">
<input type="hidden" name="csrf" value="{{ csrf }}">
{% block fields %}{% endblock %}
<div class="buttons">
<button name="action" value="continue">{% block yes %}Continue{% endblock %}</button>
<button name="action" value="cancel" class="quiet" formnovalidate>{% block no %}Cancel{% endblock %}</button>
</div>
</form>
{% endblock %}
""",
    "login": """{% extends "form" %}
{% block title %}Sign in{% endblock %}
{% block lead %}<p>to go on to <strong>{{ client }}</strong></p>{% endblock %}
{% block fields %}
<label for="username">User name</label>
<input type="text" id="username" name="username" value="{{ username }}" autocomplete="username" autocapitalize="none"
 spellcheck="false" required{% if not username %} autofocus{% endif %}>
<label for="password">Password</label>
<input type="password" id="password" name="password" autocomplete="current-password"
 required{% if username %} autofocus{% endif %}>
{% endblock %}
{% block yes %}Sign in{% endblock %}
""",
    "institution": """{% extends "form" %}
{% block title %}Choose an institution{% endblock %}
{% block lead %}<p>Signed in as <strong>{{ user }}</strong></p>{% endblock %}
{% block fields %}
<fieldset>
<legend>Where may <strong>{{ client }}</strong> act for you?</legend>
{% for institution in institutions %}
<label class="choice"><input type="radio" name="institution" value="{{ institution.id }}" required>
<span>{{ institution.name }} <small>{{ institution.id }}</small></span></label>
{% endfor %}
</fieldset>
{% endblock %}
""",
    "consent": """{% extends "form" %}
{% block title %}Allow {{ client }}?{% endblock %}
{% block lead %}<p>Signed in as <strong>{{ user }}</strong>. It asks for:</p>{% endblock %}
{% block fields %}
<ul>{% for scope in scopes %}<li><code>{{ scope }}</code></li>{% endfor %}</ul>
<input type="hidden" name="consent" value="yes">
{% endblock %}
{% block yes %}Allow{% endblock %}
""",
    "sign_out": """{% extends "form" %}
{% block title %}Sign out?{% endblock %}
{% block lead %}{% if user %}<p>Signed in as <strong>{{ user }}</strong></p>
{% else %}<p>Nobody is signed in with this browser.</p>{% endif %}{% endblock %}
{% block yes %}Sign out{% endblock %}
{% block no %}Stay signed in{% endblock %}
""",
    "message": """{% extends "frame" %}
{% block title %}{{ heading }}{% endblock %}
{% block body %}
<h1>{{ heading }}</h1>
<p>{{ text }}</p>
{% if code %}<p><code>{{ code }}</code></p>{% endif %}
{% endblock %}
""",
}

_ENVIRONMENT: Final = Environment(loader=DictLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def page(name: str, *, status: int = 200, redirect_uri: str | None = None, **values: Any) -> Response:
    """Make a page, which no cache keeps. Its form may lead to the sandbox, and then to `redirect_uri`.

    All values are escaped.
    """
    # The style needs no escaping, which would break the hash in the policy.
    text = _ENVIRONMENT.get_template(name).render(style=Markup(_STYLE), **values)  # noqa: S704
    response = Response(text, status, mimetype="text/html")
    # form-action also covers the redirect that answers the form.
    targets = f"'self' {_origin(redirect_uri)}" if redirect_uri else "'self'"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {targets}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    return response


def message(heading: str, text: str, *, code: str = "", status: int = 400) -> Response:
    """Make a page with a text, and an error code below it."""
    return page("message", status=status, heading=heading, text=text, code=code)


def _origin(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    # A policy cannot name an IPv6 address.
    return f"{parts.scheme}:" if ":" in (parts.hostname or "") else f"{parts.scheme}://{parts.netloc}"
