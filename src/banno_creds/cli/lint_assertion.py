"""``banno-creds lint-assertion``: judge a client assertion that other code made, by all rules."""

from __future__ import annotations

import re
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.inputs import Argument, check_file_or_url, expand, pasted, read_pasted
from banno_creds.cli.options import lint_options
from banno_creds.cli.parameters import Choice, Command, option
from banno_creds.cli.report import Report, write_result
from banno_creds.cli.settings import endpoint, run_for
from banno_creds.errors import ConfigurationError, TokenError
from banno_creds.rules.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from banno_creds.rules.findings import Finding

_VERSION = 1


@click.command("lint-assertion", cls=Command)
@click.argument("jwt", cls=Argument, says=pasted("assertion"), nargs=-1, metavar="[JWT|-]")
@option(
    "--file",
    command="lint-assertion",
    type=click.Path(path_type=Path),
    section="Input",
    help="Read it from a file, - for standard input.",
)
@option(
    "--at",
    command="lint-assertion",
    metavar="TIME",
    section="Input",
    help="Judge exp, nbf and iat at this time, such as that of a line in a log: 2026-11-21T16:01:01Z, seconds since "
    "1970, or now.",
)
@lint_options
@option(
    "--public-key",
    command="lint-assertion",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section="Registration",
    help="The public key that was pasted into Users & Groups.",
)
@option(
    "--jwks",
    command="lint-assertion",
    metavar="FILE|URL",
    section="Registration",
    help="The JWK Set at the JWKS URI that was registered there.",
)
@option(
    "--output",
    "-o",
    command="lint-assertion",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    section="Output",
    help="A table for people, or JSON with a finding for each rule.",
)
@click.pass_context
def command(
    context: click.Context, /, jwt: tuple[str, ...], file: Path | None, at: str | None, output: str, **values: Any
) -> None:
    """Find out why a server refuses the client assertion that your own code makes.

    JWT is the assertion, or the form that it is sent in. It is checked against every known rule of the server, and
    against the options; nothing is sent to the server. On a shared machine, give the assertion on standard input or
    by --file: until it expires, anybody who sees it can use it.

    The exit code is 0 if nothing is wrong with it (warnings are allowed), else 6.
    """
    from banno_creds.rules.findings import NO_ASSERTION, Part
    from banno_creds.rules.lint import AssertionChecks, lint_assertion

    if values["jwks"]:
        check_file_or_url(values["jwks"])
    if re.match(r"https?:[/\\]", str(values["public_key"])):  # as a path, it has one slash
        raise ConfigurationError("--public-key takes a file, and this is a URL", hint="give the URL as --jwks URL")
    token_endpoint, issuer = endpoint(context, values)
    checks = AssertionChecks(
        token_endpoint=token_endpoint,
        issuer=issuer,
        **{name: values[name] for name in ("client_id", "public_key", "jwks", "timeout")},
        ca_bundle=None if values["ca_bundle"] is None else expand(values["ca_bundle"]),
        at=_instant(at),
    )
    report = Report(quiet=True)
    pasted = read_pasted("lint-assertion", "assertion", jwt, file)
    findings = lint_assertion(pasted, checks, run_for(context, report))
    if at is None:
        findings = tuple(map(_perhaps_logged, findings))
    failed = [finding for finding in findings if finding.verdict == "fail"]
    if output == "json":
        members = {"version": _VERSION, "verdict": "fail" if failed else "pass"}
        write_result(dumps(members | {"findings": [finding._asdict() for finding in findings]}))
    else:
        # If it is no assertion, no option would tell more.
        is_one = not any(finding.reason == NO_ASSERTION for finding in findings)
        # Faults first: the rules about one thing make one row, although the server checks them far apart.
        in_rows = sorted(findings, key=lambda finding: finding.verdict != "fail")
        notes = (() if failed else (_left(findings, values),)) + tuple(_more(values)) if is_one else ()
        report.part(Part("", tuple(in_rows), notes))
    if failed:
        raise _refused(failed)


def _instant(at: str | None) -> int | None:
    """Return the time of ``--at``; None for now."""
    from banno_creds.times import instant

    if at is None or at.strip().lower() == "now":
        return None
    try:
        return instant(at)
    except ValueError as failure:
        raise ConfigurationError(f"--at {shown(at)} is no time: {failure}") from None


def _perhaps_logged(finding: Finding) -> Finding:
    """Name ``--at`` beside the fix of an assertion that has expired: it may be an old one, out of a log."""
    if finding.rule != "assertion.exp.past" or not finding.fix.startswith("sign a new"):
        return finding
    return finding._replace(fix=f"{finding.fix}; is it from a log? --at TIME judges it as of then")


def _left(findings: tuple[Finding, ...], values: Mapping[str, Any]) -> str:
    """Say what is left if a server refuses an assertion with nothing wrong."""
    left = ["the warnings"] if any(finding.verdict == "warn" for finding in findings) else []
    left += [] if values["public_key"] or values["jwks"] else ["which key the bank has (--public-key)"]
    left.append("what the server says: banno-creds doctor")
    return f"Nothing in it would be refused, as far as can be told. If it is, look at {', then at '.join(left)}"


def _more(values: Mapping[str, Any]) -> Iterator[str]:
    """Name the options that would have told more."""
    missing = [] if values["client_id"] else ["--client-id ID"]
    if not values["public_key"] and not values["jwks"]:
        missing.append("--public-key FILE or --jwks FILE|URL")
    if missing:
        yield f"To tell more, give: {', '.join(missing)}"


def _refused(failed: list[Finding]) -> TokenError:
    first = failed[0].rule
    others = "" if len(failed) == 1 else f", the first of {len(failed)} reasons"
    what = "the server would refuse this" if not first.startswith("registration.") else "the registered key is wrong"
    return TokenError(f"{what}: {first}{others}", hint=f"{failed[0].fix}; more: banno-creds explain {first}")
