"""``banno-creds rotate``: change the key of profiles at a JWKS URI, in steps that each are safe."""

from __future__ import annotations

import os
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from banno_creds.checks import check_duration, check_url
from banno_creds.cli.inputs import StandardInput, expand, passphrase
from banno_creds.cli.options import CONFIG, PROFILE_VARIABLE
from banno_creds.cli.parameters import Choice, Command, complete_file, complete_key, complete_profile, option
from banno_creds.cli.report import Report, write_result
from banno_creds.cli.setting_options import rotation_options
from banno_creds.cli.settings import report_for, run_for
from banno_creds.config import ClientConfig, absolute, find_config_file
from banno_creds.errors import ConfigurationError
from banno_creds.key_uri import is_key_uri
from banno_creds.profiles.lookup import command_on
from banno_creds.shells import join
from banno_creds.storage import own_files
from banno_creds.times import until, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from banno_creds.rotation.journal import Journal, Record
    from banno_creds.rotation.rotate import Outcome
    from banno_creds.rotation.subject import Member, Subject
    from banno_creds.steps import Run


@click.command("rotate", cls=Command)
@option(
    "--profile",
    "profiles",
    command="rotate",
    multiple=True,
    metavar="NAME",
    section="Client",
    shell_complete=complete_profile,
    help="Change the key of this profile. Repeatable: profiles with the same key are changed together.",
)
@CONFIG
@rotation_options
@option(
    "--new-key",
    command="rotate",
    metavar="FILE|URI",
    section="Rotation",
    shell_complete=complete_key,
    help="Take this key for the new one, instead of making one.",
)
@option(
    "--partial",
    command="rotate",
    is_flag=True,
    section="Rotation",
    help="Leave other profiles with the same key as they are; the old key stays in the set until none uses it.",
)
@option(
    "--at-once",
    command="rotate",
    is_flag=True,
    section="Rotation",
    help="Do not wait for caches: try the new key now. If it is refused, nothing changes.",
)
@option(
    "--again",
    command="rotate",
    is_flag=True,
    section="Rotation",
    help="Go on after a refusal, or after --back; after the end, begin another rotation.",
)
@option("--back", command="rotate", is_flag=True, section="Rotation", help="Use the old key again.")
@option(
    "--compromised",
    command="rotate",
    is_flag=True,
    section="Rotation",
    help="Somebody else may have the key: take it out of the set first, and write the letter to the bank.",
)
@option(
    "--letter",
    command="rotate",
    metavar="FILE",
    section="Rotation",
    shell_complete=complete_file,
    help="Write the letter to the bank's administrator into this file, - for standard output.",
)
@option("--status", command="rotate", is_flag=True, section="Output", help="Tell how far it is, and do nothing.")
@option(
    "--dry-run",
    command="rotate",
    is_flag=True,
    section="Output",
    help="Look at everything, the URL too, and tell the next step; change nothing.",
)
@option(
    "--output",
    "-o",
    command="rotate",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    section="Output",
    help="The form of the result on standard output.",
)
@option("--quiet", "-q", is_flag=True, section="Output", help="Do not show the steps that are done.")
@click.pass_context
def command(context: click.Context, /, profiles: tuple[str, ...], config: str | None, **values: Any) -> None:
    """Change the key of profiles whose public key the bank fetches from a JWKS URI.

    Each run does the steps that are due, and says what it waits for: a new key is made beside the old one; both go
    into the JWK Set, which you publish; when no cache has the old set any more, the new key is tried, and the
    profiles use it; days later the old key leaves the set, and its file gets an archive name. Run it again until it
    is done, from cron for example: it may be cut off at any moment.

    With a public key that was pasted at the bank, only the bank can change it: --letter makes the new key, and writes
    what to ask for.
    """
    for exclusive in _EXCLUSIVE:
        given = [f"--{name.replace('_', '-')}" for name in exclusive if values[name]]
        if len(given) > 1:
            raise ConfigurationError(f"{' and '.join(given)} exclude each other", hint="leave one of them")
    values |= {"show_secrets": False}
    report = report_for(values)
    run = run_for(context, report)
    file = find_config_file(config)
    journal = _journal(file)
    variable = os.environ.get(PROFILE_VARIABLE)
    names = tuple(dict.fromkeys(profiles)) or ((variable,) if variable else ())
    if values["status"]:
        _show_status(journal, names, config, values, run)
        return

    def read() -> Subject:
        return _subject(names, file, config, values)

    subject = read()
    run = run._replace(emit=lambda step: _tell(step, subject, report))
    if values["letter"] is not None and not _is_of_a_set(subject):
        _write_letter(subject, run, report, values)
        return
    from banno_creds.rotation.plan import Wish
    from banno_creds.rotation.rotate import go_back, preview, rotate

    wish = Wish(
        again=values["again"],
        at_once=values["at_once"],
        is_compromised=values["compromised"],
        partial=values["partial"],
    )
    if values["back"]:
        outcome = go_back(read, journal, run)
    elif values["dry_run"]:
        outcome = preview(subject, journal, wish, run)
    else:
        outcome = rotate(read, journal, wish, run)
    if outcome.record.is_compromised and outcome.record.new is not None:
        _write_letter_of_set(subject, outcome, run, report, values)
    elif values["letter"] is not None:
        report.note("No letter was written: the bank fetches the new key from the JWKS URI by itself.")
    _show(outcome, subject, run, values)


_EXCLUSIVE = (("back", "compromised", "status", "again"), ("back", "letter", "status", "dry_run"))


# --- What is rotated ------------------------------------------------------------------------------------------------


def _journal(file: str | None) -> Journal:
    from banno_creds.rotation.journal import Journal

    folder = own_files.state_folder()
    if folder is None or file is None:
        raise ConfigurationError(
            "there is no home folder, and so no place for the journal",
            hint="name a folder with BANNO_CREDS_STATE_DIR, and the file with --config",
        )
    return Journal(folder, file)


def _subject(names: tuple[str, ...], file: str | None, config: str | None, values: Mapping[str, Any]) -> Subject:
    from banno_creds.rotation.subject import DEFAULT_KEEP, DEFAULT_WAIT, Subject

    members = _members(names, config)

    def given(name: str) -> Any:
        if values[name] is not None:
            return values[name]
        found = {member.name: _resolved(member, str(file)).get(name) for member in members}
        if len(set(found.values())) > 1:
            raise ConfigurationError(
                f"the profiles {', '.join(found)} do not have the same {name}, and are rotated together",
                hint=f"give it here: --{name.replace('_', '-')} …",
            )
        return next(iter(found.values()))

    jwks_file, jwks_uri = given("jwks_file"), given("jwks_uri")
    if jwks_uri is not None:
        check_url(jwks_uri, "the JWKS URI")
    new_key = values["new_key"]
    times = {name: given(name) for name in ("rotation_wait", "rotation_keep")}
    seconds = {name: None if text is None else check_duration(name, text) for name, text in times.items()}
    return Subject(
        file=str(file),
        members=members,
        jwks_file=None if jwks_file is None else Path(absolute(expand(jwks_file))),
        jwks_uri=jwks_uri,
        wait=seconds["rotation_wait"] or DEFAULT_WAIT,
        keep=seconds["rotation_keep"] or DEFAULT_KEEP,
        new_key=new_key if new_key is None or is_key_uri(new_key) else absolute(expand(new_key)),
    )


def _resolved(member: Member, file: str) -> Mapping[str, Any]:
    from banno_creds.profiles.settings import resolved

    return resolved(member.settings, os.path.dirname(file))  # noqa: PTH120 - as in `settings`


def _members(names: tuple[str, ...], config: str | None) -> tuple[Member, ...]:
    """Return the profiles; without a name the default one."""
    from banno_creds.profiles.lookup import find_profile, list_profiles, no_default_in
    from banno_creds.rotation.subject import Member, raw_profiles

    if not names:
        profile = find_profile(None, config)
        if profile is None:
            raise no_default_in(list_profiles(config))
        names = (profile.name,)
    stdin = StandardInput()
    found = []
    for name in names:
        profile = find_profile(name, config)
        assert profile is not None  # noqa: S101 - it was named
        client = ClientConfig.from_profile(name, config)
        ask = passphrase(
            profile.settings.get("passphrase_file"),
            stdin,
            profile,
            pin=profile.settings["private_key"].lower().startswith("pkcs11:"),
        )
        found.append(Member(name, raw_profiles(profile.file)[name], replace(client, passphrase=ask)))
    return tuple(found)


def _is_of_a_set(subject: Subject) -> bool:
    return any(member.settings.get("registration") == "jwks-uri" for member in subject.members)


# --- Letters --------------------------------------------------------------------------------------------------------


def _write_letter(subject: Subject, run: Run, report: Report, values: Mapping[str, Any]) -> None:
    """Make the new key, and write the letter that asks the bank to take it."""
    from banno_creds.rotation.letter import write_to_bank

    letter = write_to_bank(subject, run, is_compromised=values["compromised"])
    _put(letter.text, values["letter"])
    report.note(f"The new key{' was made' if letter.is_new else ''}: {letter.place} · {letter.key.fingerprint()}")
    report.note("When the bank says that it is done, and not before:")
    report.verbatim(command_on(subject.file, join(["set", *subject.names, "--private-key", letter.place])))


def _write_letter_of_set(
    subject: Subject, outcome: Outcome, run: Run, report: Report, values: Mapping[str, Any]
) -> None:
    from banno_creds.rotation.key_pair import public_key
    from banno_creds.rotation.letter import to_bank_of_set

    record = outcome.record
    clients = {member.name: member.config.client_id for member in subject.members}
    text = to_bank_of_set(
        clients, public_key(record.old), public_key(record.new or {}), str(subject.jwks_uri), run.clock()
    )
    if values["letter"] is not None and values["letter"] != "-" and os.path.lexists(expand(values["letter"])):
        report.note(f"The letter is there already: {values['letter']}")
    elif values["letter"] is not None:
        _put(text, values["letter"])
    else:
        report.note("Write to the bank: --letter FILE, with the same command line, writes the letter.")


def _put(text: str, file: str) -> None:
    from banno_creds.storage.own_files import PRIVATE_MODE
    from banno_creds.storage.secret_files import NewFile, write_together

    if file == "-":
        write_result(text.removesuffix("\n"))
        return
    write_together([NewFile(expand(file), text.encode(), PRIVATE_MODE)], replace=False)


# --- What is told ---------------------------------------------------------------------------------------------------

_DONE = {
    "make-key": "Made a new key",
    "write-set": "Changed the JWK Set: publish it",
    "try-key": "The server granted a token with the new key",
    "switch": "The profiles use the new key",
    "remove-old": "Took the old key out of the JWK Set: publish it",
    "archive": "Archived the old key",
}


def _tell(step: Any, subject: Subject, report: Report) -> None:
    """Show a step that was done."""
    from banno_creds.rotation.plan import Step

    if not isinstance(step, Step):
        report.step(step)
    elif not report.quiet:
        lines = [str(subject.jwks_file)] if step in (Step.WRITE_SET, Step.REMOVE_OLD) else []
        report.note(_DONE[step], *lines)


def _next(
    step: str | None, file: object, url: object, missing: Sequence[str] | None = None, others: Sequence[str] = ()
) -> str:
    """Say what is next: what banno-creds would do, or what it waits for and what you have to do."""
    there = ""
    if missing is not None:
        lacks = " and ".join(f"the {name} key" for name in missing)
        there = f", which has not got {lacks}" if lacks else ", which still has the old key"
    by_itself = "nothing until then:"
    words = {
        "make-key": "make a new key",
        "write-set": f"write {file}",
        "look-at-url": f"look at {url}",
        "try-key": "ask for one token with the new key",
        "switch": "have the profiles use the new key",
        "remove-old": f"take the old key out of {file}",
        "archive": "give the old key's file its archive name",
        "publish": f"publish {file} at {url}{there}; then run this again",
        "wait-for-caches": f"{by_itself} caches may still have the set without the new key; then run this again",
        "keep-old": f"{by_itself} programs may have a copy of the old key, so the set keeps it; then run this again",
        "still-used": "have these profiles use another key, too: "
        + (", ".join(others) or "those that use the old one")
        + "; then run this again",
        "went-back": "nothing: it was stopped by --back, and goes on with --again",
        "refused": "nothing: the server refused the new key; --again tries again",
        "done": "nothing: it is done",
    }
    return words.get(step or "", "run this again")


def _show(outcome: Outcome, subject: Subject, run: Run, values: Mapping[str, Any]) -> None:
    if values["letter"] == "-":
        return
    members = {**_members_of(outcome.record), "step": outcome.step, "until": outcome.until}
    members |= {"did": list(outcome.did), "others": list(outcome.others), "missing": list(outcome.missing)}
    members |= {"jwks_file": str(subject.jwks_file), "jwks_uri": subject.jwks_uri}
    if values["output"] == "json":
        write_result(dumps(members))
        return
    words = _next(outcome.step, subject.jwks_file, subject.jwks_uri, outcome.missing, outcome.others)
    _put_rotation(Report(), members, run, words)


def _members_of(record: Record) -> dict[str, Any]:
    from banno_creds.rotation.key_pair import public_key

    keys = {}
    places = {"old_key": record.archives or sorted({each["private_key"] for each in record.old_settings.values()})}
    places["new_key"] = [record.new_place] if record.new_place else []
    for name, jwk in (("old_key", record.old), ("new_key", record.new)):
        key = public_key(jwk) if jwk else None
        keys[name] = key and {
            "places": places[name],
            "type": key.description,
            "fingerprint": key.fingerprint(),
            "thumbprint": key.thumbprint(),
        }
    times = {name: getattr(record, name) for name in ("began", "switched", "ended")}
    return {"profiles": record.profiles, **keys, **times, "compromised": record.is_compromised}


def _put_rotation(report: Report, members: Mapping[str, Any], run: Run, words: str) -> None:
    """Show a rotation to people."""
    from banno_creds.rules.findings import Part

    report.part(Part(", ".join(members["profiles"])))
    for name in ("old_key", "new_key"):
        if key := members[name]:
            for place in key["places"]:
                report.fact(name.replace("_", " "), place, copied=True)
            report.fact("type", key["type"])
            report.fact("fingerprint", key["fingerprint"], copied=True)
    report.fact("step", members["step"] or "begun, and cut off")
    if members["until"] is not None:
        report.fact("until", f"{utc(members['until'])}, {until(members['until'], run.clock())}")
    report.fact("next", words)


def _show_status(
    journal: Journal, names: tuple[str, ...], config: str | None, values: Mapping[str, Any], run: Run
) -> None:
    from banno_creds.profiles.lookup import find_profile

    records = [record for record in journal.read() if not names or set(names) & set(record.profiles)]
    journal.warn_if_lost(run)
    for name in set(names).difference(*(record.profiles for record in records)):
        find_profile(name, config)  # a name that is misspelled is no rotation that is done
    found = [{**_members_of(record), "step": record.step, "until": record.until} for record in records]
    if values["output"] == "json":
        write_result(dumps({"rotations": found}))
    elif found:
        report = Report()
        for members in found:
            _put_rotation(report, members, run, _next(members["step"], "the file of the set", "its URL"))
    else:
        Report().note("There is no rotation" + (f" of {', '.join(names)}." if names else "."))
