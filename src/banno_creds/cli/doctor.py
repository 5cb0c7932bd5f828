"""``banno-creds doctor``: look at the whole set-up, and find out why the server refuses it."""

from __future__ import annotations

import os
from contextlib import suppress
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.checks import check_url, is_url
from banno_creds.cli.inputs import can_ask, check_file_or_url, expand
from banno_creds.cli.options import AS, key_options, request_options, shared_cache_options
from banno_creds.cli.parameters import PROFILE, Choice, Command, Option, complete_file, held, option
from banno_creds.cli.report import Report, as_option, write_result
from banno_creds.cli.settings import client_config, endpoint, noted_rotations, run_for, session_store
from banno_creds.config import ENVIRONMENTS, KEY_VARIABLE
from banno_creds.errors import ConfigurationError, KeyLoadError
from banno_creds.storage import own_files
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.doctor.case import Examination, Setting
    from banno_creds.rules.findings import Part

_VERSION = 1

# Settings whose values may be secret: only the names are shown.
_NAMES_ONLY = ("claims", "params")
_SECRET_FILES = ("passphrase_file", "cache_secret_file", "cache_password_file")
_URLS = ("token_endpoint", "issuer", "aud", "resource")
# A user name and a password in a URL: refused as an endpoint, but reported.
_ALWAYS_SHOWN = ("client_id", "private_key", "token_endpoint", "issuer", "environment", "scope")
_ANOTHER_FILE = "choose another file for --bundle"
_NO_SETTINGS = ("profile", "config", "registered", "offline", "probe", "bundle", "output")


@click.command("doctor", cls=Command)
@key_options
@AS
@request_options
@shared_cache_options
@option(
    "--registered",
    command="doctor",
    metavar="FILE|URL",
    section="Examination",
    shell_complete=complete_file,
    help="The public key that the bank has: the PEM pasted into Users & Groups, or the JWK Set at the JWKS URI.",
)
@option("--offline", command="doctor", is_flag=True, section="Examination", help="Do not use the network.")
@option(
    "--probe",
    command="doctor",
    is_flag=True,
    section="Examination",
    help="After a refusal, vary alg, kid and aud one at a time and ask again, 5 s apart, at most 4 requests in all: "
    "the variation that is accepted shows the cause. To the bank each is a failed log-in, and a bank "
    "blocks addresses that fail often. At a terminal you are asked first.",
)
@option(
    "--bundle",
    command="doctor",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section="Output",
    help="Write a report for a support case to a new Markdown file; it has no secret in it.",
)
@option(
    "--output",
    "-o",
    command="doctor",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    section="Output",
    help="Lines for people, each as soon as it is known; or JSON at the end.",
)
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    registered: str | None,
    offline: bool,
    probe: bool,
    bundle: Path | None,
    output: str,
    **values: Any,
) -> None:
    """Check the whole set-up, and find out why the server refuses it.

    First it checks this machine: the settings and their sources, the key, the assertion. Then it checks the
    connection to the server, its discovery document and its clock, and makes one token request, if nothing was found
    that would be refused. After a refusal it says what the cause may be, what it is not, and what to ask the bank's
    administrator.

    With --offline and --registered, and no client ID, it compares the private key with the registered one alone.

    The exit code is 0 if nothing is wrong (warnings are allowed), else that of the first fault: 2 configuration or
    clock, 3 key, 4 refused by the server or would be refused, 5 network.
    """
    compares = values["client_id"] is None
    if compares and not (offline and registered):
        raise click.MissingParameter(ctx=context, param=_CLIENT_ID)
    report = Report(quiet=True)
    tell: Callable[[Part], None] = report.part if output == "text" else _ignore
    if bundle is not None:
        bundle = _free_place(bundle)
    if registered is not None and is_url(check_file_or_url(registered)):
        check_url(registered, "the registered JWK Set's URL")
    settings = _settings(context, values)
    if compares:
        values["client_id"] = "comparison"  # no rule looks at it
    try:
        config = client_config(context, values)
    except (ConfigurationError, KeyLoadError) as failure:
        if compares:
            raise
        from banno_creds.doctor.examination import invalid

        examination = invalid(values["client_id"], settings, failure, tell, as_option)
    else:
        from banno_creds.doctor.case import Setup
        from banno_creds.doctor.examination import examine

        profile = context.meta.get(PROFILE)
        noted = noted_rotations(None if profile is None else profile.file)
        setup = Setup(config, settings, registered, offline, _probe if probe else None, as_option, compares, noted)
        examination = examine(setup, tell, run_for(context, report))
    if output == "json":
        write_result(dumps(_everything(examination, settings)))
    else:
        from banno_creds.doctor.conclusion import conclusion

        for part in conclusion(examination):
            report.part(part)
    if bundle is not None:
        _write_bundle(bundle, examination, settings, report)
    context.exit(examination.exit_code)


_CLIENT_ID = next(parameter for parameter in command.params if parameter.name == "client_id")
_CLIENT_ID.required = False  # two keys can be compared without it


def _free_place(file: Path) -> Path:
    """Check where the bundle goes, before anybody is asked anything: it never replaces a file."""
    from banno_creds.storage.secret_files import check_places

    if str(file) == "-":
        raise ConfigurationError(
            "the bundle cannot go to standard output, where the findings go",
            hint="name a new file for it: --bundle bundle.md",
        )
    file = expand(file)
    if os.path.lexists(file):
        raise ConfigurationError(f"{file} exists already, nothing was written", hint=_ANOTHER_FILE)
    check_places([file], replace=False)
    if not os.access(file.parent, os.W_OK):
        raise ConfigurationError(f"nothing can be written into {file.parent}", hint=_ANOTHER_FILE)
    return file


def _ignore(_: Part) -> None:
    pass


def _probe(count: int) -> bool:
    """Return whether to make so many further requests: asked at a terminal, elsewhere the option is enough."""
    import sys

    if sys.stdin is None or not sys.stdin.isatty():
        return True
    if not can_ask():
        return False  # nobody would see the question
    requests = "One more request" if count == 1 else f"Up to {count} more requests"
    Report().note(f"{requests}, each of which may count at the bank as a failed log-in.")
    try:
        return click.confirm("Go on?", err=True)
    except click.Abort:
        return False  # the findings so far are still useful


def _settings(context: click.Context, values: Mapping[str, Any]) -> tuple[Setting, ...]:
    """List the settings and their sources; never a secret, nor what may be one."""
    from banno_creds.doctor.case import Setting

    settings = []
    token_endpoint, several = None, False
    try:
        token_endpoint, _ = endpoint(context, values)
    except ConfigurationError:
        several = True  # as `client_config` will say
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name in _NO_SETTINGS or not isinstance(parameter, Option):
            continue
        value = values.get(name)
        by_default = source is ParameterSource.DEFAULT
        if name == "environment" and (by_default if several else token_endpoint != ENVIRONMENTS[str(value)]):
            continue  # another option names the endpoint
        if name == "private_key" and held(context, KEY_VARIABLE) and source is not ParameterSource.COMMANDLINE:
            settings.append(Setting("private-key", "the key itself, not shown", KEY_VARIABLE))
        elif value not in (None, (), "") and (not by_default or name in _ALWAYS_SHOWN):
            settings.append(
                Setting(parameter.opts[0].removeprefix("--"), _shown(name, value), _source(context, parameter))
            )
    login = own_files.state_folder()
    # Like `token`, the doctor does not look for a login where there is no folder for it.
    if values["as"] != "application" and login is not None and os.path.isdir(login):  # noqa: PTH112 - as in `settings`
        with suppress(ConfigurationError):  # as `client_config` will say
            store = session_store(context, values)
            if store is not None and (store.exists() or values["as"]):
                whose = f"of {store.owner.words}" if store.exists() else "nobody is signed in"
                settings.append(Setting("login", f"{whose}; the application is examined here", "token, exec, api"))
    return tuple(settings)


def _shown(name: str, value: Any) -> str:
    if name in _SECRET_FILES:
        return "(given, not shown)"  # it may be the secret by mistake
    if name == "cache_url":
        from banno_creds.cache_address import read_cache_url

        try:
            return read_cache_url(value).shown
        except ConfigurationError:
            return "(not shown: a password may be in it)"
    if name in _NAMES_ONLY:
        return ", ".join(f"{one}=…" for one, _ in value)
    if value is True:
        return "yes"
    text = " ".join(str(one) for one in value) if isinstance(value, tuple | list) else str(value)
    if name in _URLS and "@" in text:
        return "(not shown: a user name or password may be in it)"
    return printable(text)


def _source(context: click.Context, parameter: Option) -> str:
    source = context.get_parameter_source(str(parameter.name))
    if source is ParameterSource.COMMANDLINE:
        return parameter.opts[0]
    if source is ParameterSource.ENVIRONMENT:
        return str(parameter.envvar)
    if source is ParameterSource.DEFAULT_MAP:
        return f"the profile {context.meta[PROFILE].name} in {context.meta[PROFILE].file}"
    return "default"


def _everything(examination: Examination, settings: tuple[Setting, ...]) -> dict[str, Any]:
    diagnosis = examination.diagnosis
    return {
        "version": _VERSION,
        "verdict": "fail" if examination.exit_code else "pass",
        "exit_code": examination.exit_code,
        "settings": [setting._asdict() for setting in settings],
        "findings": [finding._asdict() for finding in examination.findings],
        "requests": [request._asdict() for request in examination.requests],
        "diagnosis": None
        if diagnosis is None
        else {
            "error": diagnosis.error,
            "causes": [cause._asdict() for cause in diagnosis.causes],
            "ruled_out": [one._asdict() for one in diagnosis.ruled_out],
            "certain": diagnosis.certain,
            "questions": list(diagnosis.questions),
            "named": list(diagnosis.named),
            "hides": diagnosis.hides,
        },
    }


def _write_bundle(file: Path, examination: Examination, settings: tuple[Setting, ...], report: Report) -> None:
    from banno_creds.doctor.support_bundle import bundle
    from banno_creds.storage.own_files import PRIVATE_MODE
    from banno_creds.storage.secret_files import NewFile, write_together

    text = bundle(examination, settings)
    try:
        write_together([NewFile(file, text.encode("utf-8"), PRIVATE_MODE)], replace=False)
    except ConfigurationError as failure:
        if not os.path.lexists(file):
            raise
        raise ConfigurationError(
            f"{file} appeared meanwhile and was left as it is, no bundle was written",
            hint=_ANOTHER_FILE,
            details=failure.details,
        ) from None
    report.note(f"Written for a support case: {file}", "Read it before you send it: it names your client and hosts.")
