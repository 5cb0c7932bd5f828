"""``banno-creds completion``: a script for a shell that completes our commands, options, profiles and files.

click's own classes do most of it. Ours correct ``--option=value``, files behind it, a zsh that has not loaded its
completion yet, and fish's descriptions, and add PowerShell. `banno_creds.cli.main.run` imports this module before
it completes, so that click finds them.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from banno_creds.cli.parameters import Choice, Command
from banno_creds.cli.report import Report, write_result
from banno_creds.errors import BannoCredsError
from banno_creds.shells import of_windows

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Where bash ends a word, besides blanks and what a command line ends at.
_BREAKS = "=:"

# A URI goes on behind its scheme, without a blank.
_BASH_BEGUN = """
%(complete_func)s_begun() {
    %(complete_func)s "$@"
    [[ ${COMPREPLY-} == *: ]] && compopt -o nospace
    return 0
}

complete -o nosort -F %(complete_func)s_begun %(prog_name)s
"""

# compset: a file is matched from behind the first =, and the text before it stays.
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain begun described response
    local type value help
    (( $+commands[%(prog_name)s] )) || return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete %(prog_name)s)}")

    for type value help in "${(@)response}"; do
        if [[ $type == file ]]; then
            compset -P 1 '-*='
            _path_files -f
        elif [[ $type == plain && $value == *: ]]; then
            begun+=("$value")
        elif [[ $type == plain && $help == _ ]]; then
            plain+=("$value")
        elif [[ $type == plain ]]; then
            described+=("$value:$help")
        fi
    done

    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#begun )) && compadd -U -V unsorted -S '' -a begun
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
    compdef %(complete_func)s %(prog_name)s
fi
"""

# A description may have commas too. For files, fish itself completes the argument of a command '', because it knows
# ~ and quotes; a candidate counts only if it begins with the whole word, including the option.
_FISH = """\
function %(complete_func)s
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \
COMP_CWORD=(commandline -t) %(prog_name)s)

    for completion in $response
        set -l item (string split -m 1 "," -- $completion)
        if test $item[1] = file
            set -l typed (commandline -ct)
            set -l option (string match -r -- '^-[^=]*=' $typed)
            for path in (complete -C "'' "(string replace -- "$option" "" $typed))
                echo -- "$option$path"
            end
        else
            echo -- $item[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


# Each element of the command is a word, or a part of one where PowerShell split it; the last one ends at the cursor.
# Windows PowerShell reads what a program prints in the console's code page.
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $words = @()
    $end = -1
    foreach ($element in $commandAst.CommandElements) {
        $start = $element.Extent.StartOffset
        if ($start -ge $cursorPosition) { break }
        $text = $element.Extent.Text
        if ($element.Extent.EndOffset -gt $cursorPosition) {
            $text = $text.Substring(0, $cursorPosition - $start).TrimStart([char[]]@(34, 39))
        } elseif ($element -is [System.Management.Automation.Language.StringConstantExpressionAst] -or
                  $element -is [System.Management.Automation.Language.ExpandableStringExpressionAst]) {
            $text = $element.Value
        }
        if ($start -eq $end) { $words[-1] += $text } else { $words += $text }
        $end = $element.Extent.EndOffset
    }
    if ($end -lt $cursorPosition) { $words += '' }

    $program = $commandAst.GetCommandName()
    $encoding = [Console]::OutputEncoding
    $env:COMP_WORDS = $words -join "`n"
    $env:%(complete_var)s = 'powershell_complete'
    try {
        [Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
        $lines = @(& $program)
    } finally {
        [Console]::OutputEncoding = $encoding
        Remove-Item Env:COMP_WORDS, Env:%(complete_var)s
    }

    foreach ($line in $lines) {
        $type, $value, $help = $line -split "`t"
        if ($type -eq 'plain') {
            $text = $value
            if ($value -notmatch '^[A-Za-z0-9_./:=+-]+$') { $text = "'" + $value.Replace("'", "''") + "'" }
            New-Object System.Management.Automation.CompletionResult $text, $value, 'ParameterValue', $help
        } else {
            $option = if ($value -match '^-[^=]*=') { $Matches[0] } else { '' }
            $file = $value.Substring($option.Length)
            foreach ($found in [System.Management.Automation.CompletionCompleters]::CompleteFilename($file)) {
                $text = $option + $found.CompletionText
                New-Object System.Management.Automation.CompletionResult `
                    $text, $found.ListItemText, $found.ResultType, $found.ToolTip
            }
        }
    }
}
"""


class _WholeWords(ShellComplete):
    """Completion that offers whole words: click leaves out the option of ``--option=value``."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Complete as click does, and put the option back. Errors are told when the command runs, not now."""
        try:
            items = super().get_completions(args, incomplete)
        except BannoCredsError:
            return []
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("-"):
            for item in items:
                item.value = f"{option}={item.value}"
        return items


@add_completion_class
class Bash(_WholeWords, BashComplete):
    """Completion for bash, which takes ``--option=value`` for three words and completes the last."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Undo bash's splitting; after a blank before the cursor, a new word begins."""
        args, word = super().get_completion_args()
        if not word:
            return _joined(args), ""
        *args, incomplete = _joined([*args, word])
        return args, incomplete

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Remove from each candidate the part that bash takes for other words."""
        items = super().get_completions(args, incomplete)
        _, word = super().get_completion_args()
        before = len(incomplete) - len(word.lstrip(_BREAKS))
        for item in items:
            item.value = item.value[before:]
        return items

    def source(self) -> str:
        """Return the script. On Windows the bash that is found is often not the one that will read it."""
        script = ShellComplete.source(self) if sys.platform == "win32" else super().source()
        return script + _BASH_BEGUN % self.source_vars()


@add_completion_class
class Zsh(_WholeWords, ZshComplete):
    """Completion for zsh."""

    source_template = _ZSH


@add_completion_class
class Fish(_WholeWords, FishComplete):
    """Completion for fish."""

    source_template = _FISH


@add_completion_class
class PowerShell(_WholeWords):
    """Completion for Windows PowerShell and PowerShell, which need a class of their own in click."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words behind the program's name, and what is typed of the last one."""
        *args, incomplete = os.environ["COMP_WORDS"].split("\n")[1:] or [""]
        return args, incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return a line: what to complete, the word, what to say of it, which must be something."""
        return f"{item.type}\t{item.value}\t{' '.join((item.help or item.value or '-').split())}"


SHELLS: dict[str, type[ShellComplete]] = {shell.name: shell for shell in (Bash, Zsh, Fish, PowerShell)}


@click.command("completion", cls=Command)
@click.argument("shell", type=Choice(list(SHELLS)))
@click.pass_context
def command(context: click.Context, /, shell: str) -> None:
    """Print the completion for a shell; put the line into its start-up file:

    \b
    bash        ~/.bashrc   eval "$(banno-creds completion bash)"
    zsh         ~/.zshrc    eval "$(banno-creds completion zsh)"
    fish        ~/.config/fish/config.fish   banno-creds completion fish | source
    powershell  $PROFILE    banno-creds completion powershell | Out-String | iex
    """  # noqa: D301, D415 - click knows a paragraph that it must not wrap by this character
    root = context.find_root().command
    if of_windows() and shell != PowerShell.name:
        Report().warning(
            f"this completes in {shell}, such as Git's, and in no shell of Windows",
            "for PowerShell: banno-creds completion powershell",
        )
    script = SHELLS[shell](root, {}, "banno-creds", "_BANNO_CREDS_COMPLETE").source()
    write_result(script.strip("\n"))


def _joined(words: list[str]) -> list[str]:
    """Return the words as they were typed: a break such as ``=`` belongs to both its neighbours."""
    joined: list[str] = []
    behind_break = False
    for word in words:
        is_break = word != "" and not word.strip(_BREAKS)
        is_option = word.startswith("-") and word != "-"
        if joined and (is_break or (behind_break and not is_option)):
            joined[-1] += word
        else:
            joined.append(word)
        behind_break = is_break
    return joined
