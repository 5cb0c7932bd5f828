"""Help: ``-h`` is the few lines that most people need, ``--help`` is all. Both begin with examples.

Imported only when somebody asks for help. click's own formatter is not used: it writes no line shorter than 50
characters, and knows no examples.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from banno_creds.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Topic(NamedTuple):
    """What a command's help begins with: examples to copy, and the options and arguments that most people need."""

    examples: tuple[str, ...]
    first: tuple[str, ...] = ()


_CLIENT = ("--profile", "--client-id", "--private-key")
_USERS = "/a/consumer-user-search/api/v0/institutions/{institutionId}/users"

TOPICS = {
    "": Topic(
        (
            "banno-creds keygen",
            "banno-creds client-assertion --client-id 199e6f35 --private-key private.pem",
        ),
        ("keygen", "client-assertion", "token", "api", "login", "doctor", "explain", "profile", "demo"),
    ),
    "keygen": Topic(
        ("banno-creds keygen", "banno-creds keygen --public-from private.pem --public-key -"),
        ("--type", "--private-key", "--public-key", "--encrypt", "--public-from"),
    ),
    "rotate": Topic(
        (
            "banno-creds rotate --profile garden",
            "banno-creds rotate --profile garden --status",
        ),
        ("--profile", "--jwks-file", "--jwks-uri", "--back", "--compromised", "--letter", "--dry-run", "--status"),
    ),
    "key": Topic(("banno-creds key show private.pem", "banno-creds key match --registered public.pem private.pem")),
    "key show": Topic(
        ("banno-creds key show private.pem", "banno-creds key show -o json *.pem https://bank.test/jwks.json"),
        ("FILE|URI|URL...", "--output", "--only", "--passphrase-file"),
    ),
    "key match": Topic(
        (
            "banno-creds key match --registered public.pem private.pem",
            "banno-creds key match --registered https://bank.test/jwks.json private.pem -o json",
        ),
        ("KEY...", "--registered", "--output", "--passphrase-file"),
    ),
    "client-assertion": Topic(
        (
            "banno-creds client-assertion --client-id 199e6f35 --private-key private.pem",
            "banno-creds client-assertion --profile garden -o token",
        ),
        (*_CLIENT, "--scope", "--output", "--curl"),
    ),
    "sign-jwt": Topic(
        (
            "banno-creds sign-jwt --client-id 199e6f35 --private-key private.pem",
            "banno-creds sign-jwt --profile garden --alg RS256 -q",
        ),
        (*_CLIENT, "--alg", "--kid", "--aud"),
    ),
    "token": Topic(
        (
            "banno-creds token --profile garden",
            'header=$(banno-creds token -o header)\nprintf \'%s\\n\' "$header" | curl -H @- "$URL"',
        ),
        (*_CLIENT, "--scope", "--output", "--verbose"),
    ),
    "check": Topic(
        (
            "banno-creds check --all",
            "banno-creds check --only-failed",
            "banno-creds check garden orchard -o json",
        ),
        ("PROFILE", "--all", "--tag", "--offline", "--only-failed", "--resume", "--output"),
    ),
    "exec": Topic(
        (
            "banno-creds exec --profile garden -- ./sync.sh",
            "banno-creds exec -- sh -c 'echo $BANNO_TOKEN_EXPIRES_AT'",
        ),
        ("COMMAND", *_CLIENT, "--scope", "--min-ttl"),
    ),
    "api": Topic(
        (f'banno-creds api "{_USERS}"', f'banno-creds api -f limit=1 --method GET "{_USERS}"'),
        ("PATH", "--method", "--raw-field", "--field", "--input", *_CLIENT, "--scope"),
    ),
    "login": Topic(
        (
            "banno-creds login --client-id 199e6f35 --private-key private.pem",
            'banno-creds login --profile garden --scope "openid profile email"',
        ),
        (*_CLIENT, "--client-secret-file", "--scope", "--issuer", "--redirect-uri", "--manual"),
    ),
    "whoami": Topic(
        ("banno-creds whoami", "banno-creds whoami --profile garden --userinfo"), (*_CLIENT, "--userinfo")
    ),
    "logout": Topic(
        ("banno-creds logout", "banno-creds logout --profile garden --only-here"),
        (*_CLIENT, "--only-here", "--no-browser"),
    ),
    "doctor": Topic(
        (
            "banno-creds doctor --profile garden",
            "banno-creds doctor --client-id 199e6f35 --private-key private.pem --registered public.pem",
        ),
        (*_CLIENT, "--registered", "--offline", "--bundle"),
    ),
    "lint-assertion": Topic(
        (
            "java -jar sign.jar | banno-creds lint-assertion --client-id 199e6f35 --public-key public.pem",
            "banno-creds lint-assertion assertion.txt --client-id 199e6f35",
        ),
        ("JWT", "--client-id", "--public-key", "--jwks", "--at"),
    ),
    "decode": Topic(
        (
            "banno-creds token | banno-creds decode",
            "banno-creds decode token.json --issuer https://login.jackhenry.com",
        ),
        ("TOKEN", "--file", "--issuer", "--jwks", "--check-expiry", "--full"),
    ),
    "jwks": Topic(
        ("banno-creds jwks build private.pem > jwks.json", "banno-creds jwks check https://bank.example/jwks.json")
    ),
    "jwks build": Topic(
        ("banno-creds jwks build private.pem > jwks.json", "banno-creds jwks build old.pem new.pem --alg RS256"),
        ("KEY...", "--alg", "--passphrase-file"),
    ),
    "jwks add": Topic(("banno-creds jwks add jwks.json new.pem",), ("FILE", "KEY...", "--alg", "--passphrase-file")),
    "jwks remove": Topic(
        ("banno-creds jwks remove jwks.json old.pem", "banno-creds jwks remove jwks.json 2024-01"),
        ("FILE", "KEY|KID...", "--allow-empty"),
    ),
    "jwks check": Topic(
        ("banno-creds jwks check jwks.json", "banno-creds jwks check https://bank.example/jwks.json private.pem"),
        ("FILE|URL", "KEY...", "--output", "--ca-bundle"),
    ),
    "explain": Topic(("banno-creds explain invalid_client", "banno-creds explain exp.past"), ("RULE", "--output")),
    "profile": Topic(
        (
            "banno-creds profile add garden --client-id 199e6f35 --private-key private.pem",
            "banno-creds token --profile garden",
        )
    ),
    "profile add": Topic(
        (
            "banno-creds profile add garden --client-id 199e6f35 --private-key private.pem",
            "banno-creds profile add granite --client-id 5f8b2a10 --private-key granite.pem --default",
        ),
        ("--client-id", "--private-key", "--scope", "--default", "--force"),
    ),
    "profile set": Topic(
        (
            'banno-creds profile set garden --scope "openid full"',
            "banno-creds profile set garden --issuer https://login.jackhenry.com --unset token_endpoint",
        ),
        ("--client-id", "--private-key", "--scope", "--unset"),
    ),
    "profile list": Topic(
        ("banno-creds profile list", "banno-creds profile list --tag nightly -o json"),
        ("--tag", "--long", "--output"),
    ),
    "profile import": Topic(
        ("banno-creds profile import banks.csv --dry-run", "banno-creds profile import banks.csv"),
        ("FILE", "--dry-run", "--replace", "--output"),
    ),
    "profile export": Topic(
        ("banno-creds profile export -o csv > banks.csv", "banno-creds profile export --tag nightly"),
        ("--tag", "--output"),
    ),
    "profile show": Topic(("banno-creds profile show", "banno-creds profile show garden -o json"), ("--output",)),
    "profile default": Topic(
        ("banno-creds profile default garden", "banno-creds profile default --none"), ("--none",)
    ),
    "profile remove": Topic(
        ("banno-creds profile remove garden", "banno-creds profile remove garden --config ./config.toml"),
        ("--config",),
    ),
    "cache": Topic(("banno-creds cache list", "banno-creds cache clear")),
    "cache list": Topic(("banno-creds cache list", "banno-creds cache list -o json"), ("--output",)),
    "cache clear": Topic(("banno-creds cache clear",)),
    "completion": Topic(('eval "$(banno-creds completion bash)"', "banno-creds completion fish | source")),
    "demo": Topic(("banno-creds demo",)),
    "serve": Topic(
        (
            "banno-creds serve",
            "banno-creds serve garden --port 0 --client-secret-file serve.secret",
            "banno-creds serve --socket /run/user/1000/banno.sock --client-secret-file serve.secret",
        ),
        ("PROFILE", "--port", "--socket", "--client-secret-file"),
    ),
    "sandbox": Topic(
        (
            "banno-creds sandbox --client-id 199e6f35 --public-key public.pem",
            "banno-creds sandbox --port 0 --explain --fault slow=3",
        ),
        ("--client-id", "--public-key", "--port", "--explain", "--fault"),
    ),
    "help": Topic(("banno-creds help token", "banno-creds help profile add")),
}
"""By the command's name, without the program's."""

ON_WINDOWS = {
    "token": (
        "banno-creds token --profile garden",
        '$token = banno-creds token\nInvoke-RestMethod $url -Headers @{ Authorization = "Bearer $token" }',
    ),
    "exec": (
        "banno-creds exec --profile garden -- sync.cmd",
        "banno-creds exec -- powershell -Command 'echo $env:BANNO_TOKEN_EXPIRES_AT'",
    ),
    "completion": ("banno-creds completion powershell | Out-String | Invoke-Expression",),
}
"""The examples for PowerShell of commands whose others are for a POSIX shell."""

# The heading above a command of the program.
_HEADINGS = {
    "keygen": "Get a token",
    "login": "Sign people in",
    "doctor": "Find out what is wrong",
    "profile": "Keep and try",
}
# These sections come last, in this order; a command's own come before them.
_LAST_SECTIONS = ("Client", "Output", "Request", "Server", "Cache", "Assertion", "Many profiles", "Options")

_MOST_COLUMNS = 100
_NARROW = 60  # from here on, a description stands under its option
_LEAST_COLUMNS = 20
_TERM_WIDTH = 25  # of an option's names in a column of their own
_NAME_WIDTH = 16  # of a command's


def long_help(context: click.Context) -> str:
    """Return all help of a command."""
    width = _columns()
    command = context.command
    first, *rest = _paragraphs(command.help or "-")
    lines = [*_usage(context, width), "", *_fill(first, width), *_examples(context, width)]
    for paragraph in rest:
        lines += ["", *_paragraph(paragraph, width)]
    for title, records in _sections(context).items():
        lines += ["", f"{title}:", *_definitions(records, width)]
    if isinstance(command, click.Group):
        lines += _commands(command, context, width)
    for paragraph in _paragraphs(command.epilog or ""):
        lines += ["", *_paragraph(paragraph, width)]
    if isinstance(command, click.Group):
        lines += ["", *_fill(f"Help of a command: {context.command_path} help COMMAND", width)]
    return "\n".join(lines)


def short_help(context: click.Context) -> str:
    """Return the help that fits on a screen: what the command does, two examples, what is needed most."""
    width = _columns()
    command = context.command
    lines = [*_usage(context, width), "", *_fill(_paragraphs(command.help or "-")[0], width)]
    lines += _examples(context, width)
    wanted = _topic(context).first
    if isinstance(command, click.Group):
        known = dict(_listed(command, context))
        records = [(name, known[name]) for name in wanted or known if name in known]
        lines += ["", "Commands:", *_definitions(records, width, least=_NAME_WIDTH)]
    elif records := list(_needed_most(context, wanted)):
        lines += ["", "Needed most:", *_definitions(records, width)]
    what = "commands" if context.parent is None else "options"
    return "\n".join([*lines, "", *_fill(f"All {what}: {context.command_path} --help", width)])


class _Help(click.Command):
    """Shows the help of the command that its arguments name."""

    def get_help(self, ctx: click.Context) -> str:
        """Return its own help."""
        return long_help(ctx)

    def invoke(self, ctx: click.Context) -> None:
        """Show it."""
        about = ctx.parent or ctx
        for word in ctx.params["words"]:
            if not isinstance(about.command, click.Group):
                raise ConfigurationError(
                    f"{about.command_path} has no commands of its own", hint=f"{about.command_path} --help"
                )
            about = _below(about, word)
        click.echo(about.get_help(), color=ctx.color)


def _below(about: click.Context, word: str) -> click.Context:
    """Return the context of a group's command; ConfigurationError if there is none of this name."""
    group = about.command
    assert isinstance(group, click.Group)  # noqa: S101 - for the type checker: it was asked before
    name, command, _ = group.resolve_command(about, [word])
    return click.Context(command or group, info_name=name, parent=about)


def _complete_command(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a command, behind ``help``."""
    about = context.parent or context
    for word in context.params.get("words") or ():
        if isinstance(about.command, click.Group):
            about = _below(about, word)
    known = about.command.list_commands(about) if isinstance(about.command, click.Group) else []
    return [name for name in known if name.startswith(incomplete)]


HELP = _Help(
    "help",
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[click.Argument(["words"], nargs=-1, metavar="[COMMAND]...", shell_complete=_complete_command)],
    help="Show the help of a command.",
)
"""The command ``help`` of every group."""


def _of_windows() -> bool:
    found = False
    if sys.platform == "win32":
        from banno_creds.shells import of_windows

        found = of_windows()
    return found


def as_typed(command: str, width: int) -> list[str]:
    """Return a command as a person reads it: if it is too long for a line, it is broken at pipes, then at options.

    No break would be one for both cmd and PowerShell.
    """
    if _of_windows():
        return command.split("\n")
    lines = []
    for line in command.split("\n"):
        pieces = [line] if len(line) <= width else line.replace(" | ", " |\n  ").split("\n")
        for piece in pieces:
            if len(piece) <= width:
                lines.append(piece)
            else:
                lines += piece.replace(" --", " \\\n  --").replace(" >", " \\\n  >").split("\n")
    return lines


def _columns() -> int:
    """Return how wide the help may be: as the terminal, or as COLUMNS says."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted):
        return max(_LEAST_COLUMNS, min(int(wanted), _MOST_COLUMNS))
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            columns = os.get_terminal_size(stream.fileno()).columns if stream is not None else 0
        except (OSError, ValueError):  # it is no terminal; it is closed
            continue
        if columns:
            return max(_LEAST_COLUMNS, min(columns, _MOST_COLUMNS))
    return 80


def _topic(context: click.Context) -> Topic:
    return TOPICS.get(_path(context), Topic(()))


def _path(context: click.Context) -> str:
    return context.command_path.partition(" ")[2]


def examples(path: str) -> tuple[str, ...]:
    """Return the examples of a command, by its name without the program's, for the shell at hand."""
    topic = TOPICS.get(path, Topic(()))
    return ON_WINDOWS.get(path, topic.examples) if _of_windows() else topic.examples


def first_example(context: click.Context) -> str | None:
    """Return the first example of a command, if it has one line."""
    first = examples(_path(context))[:1]
    return first[0] if first and "\n" not in first[0] else None


def _usage(context: click.Context, width: int) -> list[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return _fill(f"Usage: {context.command_path} {pieces}", width, hang=7)


def _examples(context: click.Context, width: int) -> list[str]:
    shown = examples(_path(context))
    lines = [f"  {line}" for example in shown for line in as_typed(example, width - 2)]
    return ["", "Examples:" if len(shown) > 1 else "Example:", *lines] if lines else []


def _paragraphs(text: str) -> list[str]:
    import inspect

    return [*filter(None, re.split(r"\n\s*\n", inspect.cleandoc(text)))]


def _paragraph(text: str, width: int) -> list[str]:
    """Return a paragraph as lines; one that click must not wrap has lines of its own, and perhaps a table."""
    if not text.startswith("\b"):
        return _fill(" ".join(text.split()), width)
    lines = text.split("\n")[1:]
    rows = [re.fullmatch(r" *(\S.*?) {2,}(\S.*)", line) for line in lines]
    if rows[-1] is not None and all(rows[1:]):
        title = [] if rows[0] else _fill(lines[0], width)
        return title + _definitions([(row[1], row[2]) for row in rows if row], width, least=0)
    indents = [len(line) - len(line.lstrip()) for line in lines]
    return [
        piece
        for line, indent in zip(lines, indents, strict=True)
        for piece in _fill(line, width, indent=indent, hang=indent + 2)
    ]


def _sections(context: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Return the options under their headings, those that people need first at the top."""
    found: dict[str, list[tuple[str, str]]] = {}
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            found.setdefault(getattr(parameter, "section", "Options"), []).append(record)
    places = {title: place for place, title in enumerate(_LAST_SECTIONS)}
    return dict(sorted(found.items(), key=lambda section: places.get(section[0], -1)))


def _needed_most(context: click.Context, names: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Return the first sentence about each of these options and arguments."""
    known: dict[str, tuple[click.Parameter, tuple[str, str]]] = {}
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            for name in (*parameter.opts, *parameter.secondary_opts, *re.findall("[A-Z]{3,}", record[0])[:1]):
                known.setdefault(name, (parameter, record))
    for name in names:
        if name in known:
            parameter, (term, text) = known[name]
            said = getattr(parameter, "help", None) or text
            yield term, re.split(r"[.;] |[.;:]$|: ", said)[0].rstrip(".") + "."


def _listed(group: click.Group, context: click.Context) -> Iterable[tuple[str, str]]:
    """List the commands. Those of the program are known without importing any."""
    purposes: Mapping[str, str] = getattr(group, "purposes", {})
    for name in group.list_commands(context):
        command = None if name in purposes else group.get_command(context, name)
        yield name, purposes[name] if command is None else command.get_short_help_str(200)


def _commands(group: click.Group, context: click.Context, width: int) -> list[str]:
    lines, heading, rows = [], "Commands", list[tuple[str, str]]()
    for name, purpose in (*_listed(group, context), ("", "")):
        following = _HEADINGS.get(name) if context.parent is None else None
        if rows and (following or not name):
            lines += ["", f"{heading}:", *_definitions(rows, width, least=_NAME_WIDTH)]
            rows = []
        heading = following or heading
        rows.append((name, purpose))
    return lines


def _definitions(rows: Sequence[tuple[str, str]], width: int, *, least: int | None = None) -> list[str]:
    """Return terms and what they mean, in two columns; on a narrow terminal, one under the other.

    ``least`` is how wide the first column is at the least; None for options, which have one width everywhere.
    """
    column = max(least, *(len(term) for term, _ in rows)) if least is not None else _TERM_WIDTH
    lines = []
    for term, text in rows:
        fits = width >= _NARROW or (least is not None and column + 4 <= width // 2)
        if fits and len(term) <= column:
            first, *more = _fill(text, width, indent=column + 4)
            lines += [f"  {term:{column}}  {first.lstrip()}", *more]
        else:
            lines += _fill(term, width, indent=2, hang=6)
            lines += _fill(text, width, indent=column + 4 if width >= _NARROW else 4)
    return lines


def _fill(text: str, width: int, *, indent: int = 0, hang: int | None = None) -> list[str]:
    """Break a text into lines at its blanks; a word that is too long for a line, at a bar or underscore."""
    hang = indent if hang is None else hang
    lines, line, lead = [], "", " " * indent
    for word in text.split():
        rest = word
        if line and len(lead) + len(line) + 1 + len(rest) > width:
            lines.append(lead + line)
            line, lead = "", " " * hang
        while not line and len(lead) + len(rest) > width:
            most = width - len(lead)
            cut = max(rest.rfind(mark, 0, most) + 1 for mark in "|_/-") or most
            lines.append(lead + rest[:cut])
            rest, lead = rest[cut:], " " * hang
        line = f"{line} {rest}" if line else rest
    return [*lines, lead + line]
