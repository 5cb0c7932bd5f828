"""Slips of the hand on the command line: what was meant is told by meaning first, then by spelling.

Imported only when a command line cannot be used as it is. What was typed may be a secret: only the names of options
are shown, and the values of options that are known and hold none.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from banno_creds.cli import synonyms
from banno_creds.errors import ConfigurationError
from banno_creds.secrecy import is_private_key
from banno_creds.shells import join, quote
from banno_creds.text import CURLY_QUOTES, DASHES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

T = TypeVar("T")

# What is no value but a secret, and so never an argument.
_FILES_OF_SECRETS = ("--passphrase-file", "--client-secret-file", "--cache-secret-file", "--cache-password-file")

_HYPHENS = f"-{DASHES}\u00ad"
_UNSEEN = ("Zs", "Zl", "Zp", "Cf")  # the categories of blanks and of characters without a width
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SCOPES = ("openid", "profile", "email", "address", "phone", "offline_access", "full")
_PASTED = ("decode", "lint-assertion")  # they find their argument among whatever was pasted with it
_MOST_CHARACTERS = 150  # of a command line in a hint


class _Word(NamedTuple):
    """One word that was typed, or an option with its value."""

    kind: str  # option, unknown, argument, blank (nothing behind =), empty (another option in the place of the value)
    text: str
    words: tuple[str, ...]
    option: click.Option | None = None


class _Judged(NamedTuple):
    """What is wrong with a word, if anything, and how it is right; None if that is not sure."""

    said: str
    advice: str
    words: tuple[str, ...] | None
    option: click.Option | None = None


def find_mistake(context: click.Context, typed: Sequence[str]) -> ConfigurationError | None:
    """Return the error for the first slip in a command line that could not be parsed; None if there is none."""
    options = _options(context)
    words = list(_words(context, typed, options))
    arguments = [word.text for word in words if word.kind == "argument"]
    too_many = len(arguments) > _most_arguments(context)
    judged: list[_Judged] = []
    while words:
        word = words.pop(0)
        found = _judge(context, word, options, bare=too_many or not context.allow_interspersed_args)
        follows = words[0].text if words and words[0].kind == "argument" else None
        if too_many and judged and (scope := _more_of_scope(judged[-1], word, follows, typed)):
            judged[-1] = scope
            continue
        if word.kind == "blank" and too_many and follows:
            words.pop(0)
            said = f"a blank stands behind {word.text}"
            advice = f"write the value behind it without one: {word.text}{_metavar(word.option)}"
            found = _Judged(said, advice, (word.text + follows,), word.option)
        elif found.said and found.words and len(found.words) == 1 and _takes_value(found.option) and follows:
            words.pop(0)
            found = found._replace(words=(*found.words, follows))
        elif found.said and found.words and len(found.words) == 1 and _takes_value(found.option):
            found = found._replace(words=None)  # an option without its value
        judged.append(found)
    first = next((found for found in judged if found.said), None)
    if first is None:
        return _stray(context, arguments, options) if too_many else None
    line = _shown_line(context, judged) if context.allow_interspersed_args else None
    return ConfigurationError(
        first.said, hint=f"did you mean: {line}" if line else first.advice or f"{context.command_path} --help"
    )


def surplus_arguments(context: click.Context) -> ConfigurationError:
    """Return the error for the arguments of `token`, which takes some only where many tokens have a form."""
    typed = context.find_root().obj.arguments
    words = typed[typed.index(context.info_name) + 1 :]
    return find_mistake(context, words) or _stray(context, context.params["names"], _options(context))


def _more_of_scope(before: _Judged, word: _Word, follows: str | None, typed: Sequence[str]) -> _Judged | None:
    """Return ``--scope`` with this word too, if it is a scope that a shell split off for want of quotes."""
    if before.option is None or before.option.name != "scope" or word.kind != "argument" or not before.words:
        return None
    named = word.text == "profile" and re.fullmatch(r"[\w.-]+", follows or "") and not _is_scope(str(follows))
    named = named and "--profile" not in typed
    if named or not _is_scope(word.text):
        return None
    value = f"{before.words[-1].removeprefix('--scope=')} {word.text}"
    said = "a scope stands behind the value of --scope, without quotes around both"
    return _Judged(said, f"did you mean --scope {quote(value)}", ("--scope", value), before.option)


def _is_scope(word: str) -> bool:
    return word in _SCOPES or "://" in word


def _judge(context: click.Context, word: _Word, options: Mapping[str, click.Option], *, bare: bool) -> _Judged:
    """Judge one word; with ``bare``, an argument may be an option without its dashes."""
    if word.kind == "unknown":
        return _unknown_option(context, word.text, options)
    if word.kind == "empty":
        said = f"{word.text} has no value: an option follows it"
        return _Judged(said, f"{word.text} {_metavar(word.option)}", None)
    if word.kind == "argument" and bare:
        found = _bare(word.text, options)
        if found is not None:
            name, value = found
            words = (name, value) if value else (name,)
            advice = f"{name} {_metavar(options[name])}".rstrip()
            return _Judged(f"{name.removeprefix('--')} lacks its two dashes", advice, words, options[name])
    return _Judged("", "", word.words, word.option)


def check_characters(context: click.Context, typed: Sequence[str]) -> None:
    """Refuse a word with a dash, a quote or a blank that only a text program writes, by a ConfigurationError.

    The values of options are checked where they are read, from wherever they come: see `check_value`.
    """
    options = _options(context)
    for word in _words(context, typed, options):
        text = word.text
        if text.isascii() or (word.kind == "argument" and context.command.name == "explain"):
            continue
        name = re.split(rf"[^\w.{re.escape(_HYPHENS)}]", text.lstrip(_HYPHENS))[0]
        dash = next((c for c in text[: len(text) - len(text.lstrip(_HYPHENS)) + len(name)] if c in _HYPHENS[1:]), "")
        meant = _exact(_canonical(name), options) or _short(name, options)
        if text[0] in _HYPHENS and dash and (meant or _by_meaning(context, _canonical(name), options)):
            shown = meant or "--" + _canonical(name)
            raise ConfigurationError(
                f"the dash of {name} comes from a text program: {_character(dash)}",
                hint=f"type {f'{shown} {_metavar(options.get(shown))}'.rstrip()}",
            )
        if text.startswith("-") and meant and len(text) > len(name) + 2 and not text.split("=")[0].isascii():
            odd = next((c for c in text if unicodedata.category(c) in _UNSEEN), "")
            if odd:
                raise ConfigurationError(
                    f"behind {meant} stands no ordinary blank: {_character(odd)}",
                    hint=f"type it again: {meant} {_metavar(options.get(meant))}".rstrip(),
                )
        # These take off what was pasted with their argument.
        if word.kind == "argument" and context.command.name not in ("decode", "explain", "lint-assertion"):
            check_value("an argument", text)


def check_for_keys(typed: Sequence[str]) -> None:
    """Refuse a private key among the words, though a shell may have split it; ConfigurationError if there is one."""
    if is_private_key(" ".join(typed)):
        raise key_as_argument("an argument")


def key_as_argument(given: str) -> ConfigurationError:
    """Return the error for a private key on the command line; ``given`` is what it was given as."""
    return ConfigurationError(
        f"{given} looks like a private key (not shown here)",
        hint="an argument can be seen by everybody on the machine: treat this key as leaked, and give the next "
        "one as a file",
    )


def check_value(name: str, value: str) -> None:
    """Refuse a value in a text program's quotes, or with a blank at an end that cannot be seen; it is not shown."""
    if value[:1] in CURLY_QUOTES and value:
        raise ConfigurationError(
            f"{name} begins with a quote from a text program: {_character(value[0])}",
            hint="type it again, in ' or \" or without quotes",
        )
    for where, character in (("begins", value[:1]), ("ends", value[-1:])):
        if unicodedata.category(character or "a") in _UNSEEN and not character.isascii():
            raise ConfigurationError(
                f"{name} {where} with a character that cannot be seen: {_character(character)}",
                hint="type it again; it was copied from a text program or a page",
            )


def no_such_command(context: click.Context, known: Sequence[str], typed: str) -> ConfigurationError:
    """Return the error for a command that there is not, with the one that was probably meant."""
    from difflib import get_close_matches

    where = context.command_path
    if not typed.strip():
        return ConfigurationError(
            "the command is empty", hint=f"{where} --help; in a script, look at the variable that should name it"
        )
    if typed.split()[:1] != [typed] and typed.split()[0] in known:
        return ConfigurationError(
            "the whole command line is one word", hint=f"leave the quotes around it out: {where} {typed.split()[0]} …"
        )
    name = _canonical(typed.lstrip("/"))
    meant: str | None = next((command for command in known if command == name), None)
    if typed[:1] and typed[0] in _HYPHENS[1:]:
        meant = _exact(name, _options(context)) or _short(typed.lstrip(_HYPHENS), _options(context))
    if meant is None and context.parent is None:
        meant = _found(synonyms.COMMANDS, name)
    elif meant is None:
        meant = next(
            (
                ours
                for ours, others in synonyms.OF_GROUPS.items()
                if ours.split()[0] in known and name in others.split()
            ),
            None,
        )
    if meant is None:
        options = ["help", "version"] if context.parent is None else ["help"]
        near = get_close_matches(name, (*known, *options), 1)
        meant = f"--{near[0]}" if near and near[0] == "version" else next(iter(near), None)
    shown = f" {typed!a}" if len(typed) <= 40 else ""
    return ConfigurationError(
        f"there is no command{shown}" + ("" if context.parent is None else f" of {where}"),
        hint=f"did you mean: {where} {meant}" if meant else f"{where} --help",
    )


def option_without_dashes(context: click.Context, word: str) -> str | None:
    """Return the option that a word is the name of, written without its dashes or with other ones; None if none."""
    options = _options(context)
    found = _bare(word, options)
    return found[0] if found else _exact(_canonical(word), options)


def _words(context: click.Context, typed: Sequence[str], options: Mapping[str, click.Option]) -> Iterator[_Word]:
    """Tell options, values and arguments apart as the parser does; what follows ``--`` is left out."""
    stops = isinstance(context.command, click.Group) or not context.allow_interspersed_args
    left = list(typed)
    while left:
        text = left.pop(0)
        if text == "--":
            if not stops:
                yield from (_Word("argument", argument, (argument,)) for argument in left)
            return
        name, equals, value = text.partition("=")
        option = options.get(name)
        if option is None and not text.startswith("--") and text[:1] == "-" and len(text) > 1:
            option, name = _cluster(text, options)
        if option is not None and not equals and text == name and _takes_value(option) and left:
            if left[0] in options and len(left[0]) > 2:
                yield _Word("empty", name, (name,), option)
                continue
            yield _Word("option", name, (name, left.pop(0)), option)
        elif option is not None and equals and not value and _takes_value(option):
            yield _Word("blank", text, (text,), option)
        elif option is not None:
            yield _Word("option", text, (text,), option)
        elif text[:1] == "-" and text != "-":
            yield _Word("unknown", text, ())
        else:
            yield _Word("argument", text, (text,))
            if stops:
                return


def _cluster(text: str, options: Mapping[str, click.Option]) -> tuple[click.Option | None, str]:
    """Return the option of a word with one dash, such as ``-qv`` or ``-ojson``; None if a letter is unknown."""
    option: click.Option | None = None
    for number, letter in enumerate(text[1:], 1):
        option = options.get(f"-{letter}")
        if option is None:
            return None, text
        if _takes_value(option):
            whole = text if number == len(text) - 1 else ""
            # `-output` is no `-o utput`.
            return (None if _exact(_canonical(text.partition("=")[0]), options) else option), whole
    return option, ""


def _unknown_option(context: click.Context, text: str, options: Mapping[str, click.Option]) -> _Judged:
    typed, _, value = text.partition("=")
    for between in (":", " ", "\t"):
        if _exact(_canonical(typed), options) is None and between in typed:
            typed, _, value = text.partition(between)
    name = _canonical(typed)
    shown = typed if re.fullmatch(r"[-\w.?]{1,40}", typed) else ""
    said = f"there is no option {shown}" if shown else "there is no such option"
    if not isinstance(context.command, click.Group):
        said += f" of {context.command_path}"
    exact = _exact(name, options)
    if exact is not None:
        if "-" + typed == exact:
            said = f"{shown} lacks a dash"
        elif typed == exact:
            behind = text[len(typed)]
            said = f"{exact} and its value are one word" if behind.isspace() else f"a colon stands behind {exact}"
        option = options[exact]
        advice = f"did you mean {exact} {_metavar(option)}".rstrip()
        return _Judged(said, advice, (exact, value) if value else (exact,), option)
    meant = _of_others(context, name) if context.parent is None else None
    meant = meant or _by_meaning(context, name, options)
    if meant is None and len(name) > 1:
        meant = _of_others(context, name) or _by_spelling(name, options)
    if meant is None and context.parent is None:
        meant = "an option of a command stands behind the command's name"
    if meant is None or not meant.startswith("-"):
        return _Judged(said, meant or f"{context.command_path} --help", None)
    advice = f"did you mean {meant}"
    if " " not in meant:
        advice = f"{advice} {_metavar(options.get(meant))}".rstrip()
    if meant == "-v" and name != "verbose":
        advice += "; BANNO_CREDS_DEBUG=1 shows where an error comes from"
    if meant in _FILES_OF_SECRETS:
        advice += "; a secret is never an argument, which others can see"
    return _Judged(said, advice, None)


def _by_meaning(context: click.Context, name: str, options: Mapping[str, click.Option]) -> str | None:
    """Return the option of this command that other programs call so, or a sentence about it."""
    own = synonyms.OF_COMMANDS.get(f"{context.command.name} {name}")
    if own in options:
        return own
    if own is not None and not own.startswith("-"):
        return own
    for meant in _found(synonyms.OPTIONS, name) or ():
        if not meant.startswith("-") or meant == "--help":
            named = re.findall(r"--[a-z-]+", meant.partition("banno-creds")[0])
            if meant == "--help" or set(named) <= set(options):
                return meant
            continue
        option, _, value = meant.partition(" ")
        choices = getattr(getattr(options.get(option), "type", None), "choices", ())
        if option in options and (not value or value in choices):
            return meant
    return _choice(name, options) if len(name) > 1 else None


def _choice(word: str, options: Mapping[str, click.Option]) -> str | None:
    """Return the option and the value that a word is, such as ``--type ec``."""
    for name, option in options.items():
        means = getattr(option.type, "meant", None)  # a `parameters.Choice`, which imports this module
        if name.startswith("--") and means is not None and (meant := means(word)):
            return f"{name} {meant}"
    return None


def _of_others(context: click.Context, name: str) -> str | None:
    """Return a sentence about the commands that have an option, if this one has not."""
    root = context.find_root()
    if not isinstance(root.command, click.Group):
        return None
    names = {f"--{name}"} if len(name) > 1 else {f"-{name}"}
    having = [
        command
        for command in root.command.list_commands(root)
        if names & _options(click.Context(root.command.get_command(root, command) or root.command)).keys()
    ]
    if not having:
        return None
    if context.parent is None:
        command = next((word for word in getattr(context.obj, "arguments", ()) if word in having), having[0])
        own, option = root.command.get_command(root, command), names.pop()
        line = f"banno-creds {command} {option} {_metavar(_options(click.Context(own or root.command)).get(option))}"
        return f"an option of a command stands behind the command's name: {line.rstrip()}"
    more = ", …" if len(having) > 4 else ""
    return f"it is an option of {', '.join(having[:4])}{more}, and not of {context.command.name}"


def _by_spelling(name: str, options: Mapping[str, click.Option]) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(name, [option[2:] for option in options if option.startswith("--")], 1, 0.7)
    return f"--{near[0]}" if near else None


def _stray(context: click.Context, words: Sequence[str], options: Mapping[str, click.Option]) -> ConfigurationError:
    """Return the error for more arguments than a command takes, with what the first of them looks like."""
    where, most = context.command_path, _most_arguments(context)
    said = f"{where} takes fewer arguments than were given" if most else f"{where} takes no arguments"
    if context.command.name == "token":
        said = f"{where} takes names of profiles only with --output jsonl"
    word = words[int(most)]
    method = next((word for word in words if word.upper() in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")), None)
    if method and "--method" in options:
        return ConfigurationError(said, hint=f"did you mean --method {method.upper()}")
    choice = _choice(word, options)
    if choice is not None:
        return ConfigurationError(said, hint=f"did you mean {choice}")
    for option, looks in (
        ("--profile", _is_profile(context, word)),
        ("--client-id", _UUID.fullmatch(word)),
        ("--private-key", word.endswith((".pem", ".key", ".p8"))),
        ("--token-endpoint", re.match("https?://", word)),
    ):
        if looks and option == "--profile":
            if len(words) > 1 and context.command.name == "token":
                return ConfigurationError(said, hint="add it: one JSON line for each")
            return ConfigurationError(said, hint=f"did you mean --profile {word}")
        if looks and option in options:
            return ConfigurationError(said, hint=f"did you mean {option} {_metavar(options[option])}")
    return ConfigurationError(said, hint=f"{where} --help")


def _is_profile(context: click.Context, word: str) -> bool:
    from banno_creds.profiles.lookup import profile_names

    try:
        return word in profile_names(context.params.get("config"))
    except ConfigurationError:
        return False


def _shown_line(context: click.Context, judged: Sequence[_Judged]) -> str | None:
    """Return the whole command line as it is right; None if that is not sure, or if it may hold a secret."""
    words: list[str] = []
    for found in judged:
        # Arguments may be tokens, and free text may be anything.
        is_free = found.option is None or getattr(found.option.type, "envvar_list_splitter", None) == "\n"
        if found.words is None or (is_free and not context.command_path.startswith("banno-creds profile ")):
            return None
        words += found.words
    line = f"{context.command_path} {join(words)}"
    if not _parses(context, words):
        return None
    if len(line) > _MOST_CHARACTERS or not line.isprintable() or is_private_key(line):
        return None
    return line


def _parses(context: click.Context, words: Sequence[str]) -> bool:
    """Return whether the parser takes a command line, as far as that can be told without running it."""
    try:
        given, arguments, _ = context.command.make_parser(context).parse_args(list(words))
        for parameter in context.command.get_params(context):
            values = given.get(str(parameter.name))
            if isinstance(parameter, click.Option) and values is not None and _takes_value(parameter):
                if not parameter.multiple and len(values) > 1:
                    return False
                parameter.type_cast_value(context, values if parameter.multiple else values[-1])
    except click.UsageError:
        return False
    wanted = [each for each in context.command.params if isinstance(each, click.Argument) and each.required]
    return not arguments and all(given.get(str(argument.name)) for argument in wanted)


def _bare(text: str, options: Mapping[str, click.Option]) -> tuple[str, str] | None:
    """Return the option and the value of a word such as ``client-id=ID`` or ``/client-id``."""
    name, _, value = re.sub("[:=]", "\0", text.removeprefix("/"), count=1).partition("\0")
    found = _exact(_canonical(name), options) if len(name) > 2 else None
    return None if found is None else (found, value)


def _exact(name: str, options: Mapping[str, Any]) -> str | None:
    return f"--{name}" if f"--{name}" in options and len(name) > 1 else None


def _short(name: str, options: Mapping[str, Any]) -> str | None:
    return f"-{name}" if len(name) == 1 and f"-{name}" in options else None


def _canonical(typed: str) -> str:
    """Return an option's or a command's name as we would write it: ``--clientId`` and ``client_id`` are one."""
    name = "".join("-" if c in _HYPHENS or c in "_." else c for c in typed).strip("-")
    if not name.isupper():
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return name.lower()


def _found(table: Mapping[str, T], name: str) -> T | None:
    return next((meant for names, meant in table.items() if name in names.split()), None)


def _options(context: click.Context) -> dict[str, click.Option]:
    parameters = [option for option in context.command.get_params(context) if isinstance(option, click.Option)]
    return {name: option for option in parameters for name in (*option.opts, *option.secondary_opts)}


def _takes_value(option: click.Option | None) -> bool:
    return option is not None and not option.is_flag and not option.count


def _metavar(option: click.Option | None) -> str:
    if option is None or not _takes_value(option):
        return ""
    choices = "|".join(getattr(option.type, "choices", ()))
    return option.metavar or choices or ("FILE" if isinstance(option.type, click.Path) else "VALUE")


def _most_arguments(context: click.Context) -> float:
    counts = [argument.nargs for argument in context.command.params if isinstance(argument, click.Argument)]
    if context.command.name == "token":  # it seldom takes any: see `surplus_arguments`
        return 0
    return float("inf") if -1 in counts or isinstance(context.command, click.Group) else sum(counts)


def _character(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()
