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
a { color: var(--accent); }
h2 { margin: 1.75rem 0 .25rem; font-size: 1rem; }
main.wide { max-width: 46rem; }
aside { margin-top: 1.75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); font-size: .9rem; }
aside h2 { margin-top: 0; }
aside p { margin: .5rem 0 0; }
table { width: 100%; border-collapse: collapse; margin: 0 0 .5rem; }
th, td { padding: .3rem .75rem .3rem 0; text-align: left; vertical-align: top; font-weight: 400; }
th { overflow-wrap: normal; }
td { color: var(--quiet); }
pre { margin: 0 0 .5rem; padding: .75rem .9rem; background: var(--ground); border: 1px solid var(--line);
  border-radius: .4rem; font-size: .8rem; white-space: pre-wrap; }
pre span { display: inline-block; max-width: 100%; overflow-wrap: anywhere; }
h2 + p { margin-bottom: .5rem; }
@media (max-width: 30rem) { body { padding: 0; place-items: stretch; } main { border: 0; border-radius: 0;
  max-width: none; padding: 1.5rem; } .wide th, .wide td { display: block; padding: 0; }
  .wide td { margin: 0 0 .5rem; } }
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
<main{% block wide %}{% endblock %}>
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
{% block after %}{% endblock %}
{% endblock %}
""",
    "users": """<table>
{% for user in users %}<tr><th scope="row"><code>{{ user.username }}</code></th>
<td>{% for institution in user.institutions %}{{ institution.name }}{{ ", " if not loop.last }}{% else
%}no institution{% endfor %}</td></tr>
{% endfor %}
</table>""",
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
{% block after %}
<aside>
<h2>Test users</h2>
{% include "users" %}
<p>{% if password %}The password of each is <code>{{ password }}</code>. {% else %}Their passwords are in the file of
users. {% endif %}None of them is real.</p>
</aside>
{% endblock %}
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
{% if home %}<p><a href="/">{{ home }}</a></p>{% endif %}
{% endblock %}
""",
    "home": """{% extends "frame" %}
{% block title %}A bank to try with{% endblock %}
{% block wide %} class="wide"{% endblock %}
{% block body %}
<h1>{{ self.title() }}</h1>
<p>This is the sandbox of <strong>banno-creds</strong>: an authorization server like the vendor's, on this machine
only, and a small API behind it. All its users are made up.</p>
{% for heading, lead, commands in tries %}
<h2>{{ heading }}</h2>
<p>{{ lead }}</p>
{% for command in commands %}<pre tabindex="0">{% for word in command.split(" ") %}<span>{{ word }}</span>{{
" " if not loop.last }}{% endfor %}</pre>
{% endfor %}
{% endfor %}
<h2>Test users</h2>
{% include "users" %}
<p>{% if password %}The password of each is <code>{{ password }}</code>.{% else %}Their passwords are in the file of
users.{% endif %}</p>
<h2>Endpoints</h2>
<table>
{% for what, where, linked in endpoints %}<tr><th scope="row">{{ what }}</th>
<td>{% if linked %}<a href="{{ where }}"><code>{{ where }}</code></a>{% else %}<code>{{ where }}</code>{% endif
%}</td></tr>
{% endfor %}
</table>
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


def message(heading: str, text: str, *, code: str = "", status: int = 400, home: str = "") -> Response:
    """Make a page with a text, and below it an error code or the words of a link to the first page."""
    return page("message", status=status, heading=heading, text=text, code=code, home=home)


def _origin(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    # A policy cannot name an IPv6 address.
    return f"{parts.scheme}:" if ":" in (parts.hostname or "") else f"{parts.scheme}://{parts.netloc}"
