"""The sections of docs/keys.md about AWS KMS and ssh-agent do what they say."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import import_key

from tests.docs.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.key_holders.granted import Granted
    from tests.key_holders.ministack import MiniStack
    from tests.key_holders.ssh import SshAgent

pytestmark = [pytest.mark.once, pytest.mark.posix("the scripts are for sh")]

_PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")


def _scripts(section: str) -> list[str]:
    text = _PAGE.partition(f"### {section}\n")[2].partition("\n### ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# The command of AWS, as far as the page uses it: the SDK refuses a command or an option that there is not.
_AWS = f"""#!{sys.executable}
import sys
import botocore.session
import jmespath

_, service, operation, *words = sys.argv
members = {{words[i][2:]: words[i + 1] for i in range(0, len(words), 2)}}
query = members.pop("query", None)
assert members.pop("output", "text") == "text"
named = {{"".join(part.title() for part in name.split("-")): value for name, value in members.items()}}
client = botocore.session.get_session().create_client(service)
answer = getattr(client, operation.replace("-", "_"))(**named)
if query:
    print(jmespath.search(query, answer))
"""


def _run(folder: Path, script: str, env: Mapping[str, str]) -> list[str]:
    programs = folder / "programs"
    done = run_script(folder, f'PATH="{programs}:$PATH"\n{script}', env)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def _request(granted: Granted, folder: Path, alg: str) -> dict[str, str]:
    """Register the key that a script wrote, and return how it is asked with."""
    jwk = import_key((folder / "public.pem").read_text(), "RSA").as_dict(private=False)
    return {
        "CLIENT_ID": granted.provider.register(alg, {"jwks": {"keys": [jwk]}}),
        "BANNO_CREDS_TOKEN_ENDPOINT": granted.provider.token_endpoint,
        "BANNO_CREDS_CACHE_DIR": tempfile.mkdtemp(dir=folder),
    }


def test_the_scripts_of_aws_kms(ministack: MiniStack, tmp_path: Path, granted: Granted) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "aws").write_text(_AWS)
    (tmp_path / "programs" / "aws").chmod(0o755)
    make, use = _scripts("AWS KMS")
    env = {**ministack.variables, "AWS_EC2_METADATA_DISABLED": "true"}
    _run(tmp_path, make, env)
    public, token = use.splitlines()
    _run(tmp_path, public, env)
    assert _run(tmp_path, token, {**env, **_request(granted, tmp_path, "PS256")})[-1].count(".") == 2


def test_the_script_of_ssh_agent(ssh_agent: SshAgent, tmp_path: Path, granted: Granted) -> None:
    [script] = _scripts("ssh-agent")
    make, add, public, token = script.splitlines()
    (tmp_path / ".ssh").mkdir(mode=0o700)
    # OpenSSH's own home is not that of HOME. At a terminal, the first line asks for a passphrase.
    lines = "\n".join((f"{make} -N ''", add, public)).replace("~", str(tmp_path))
    env = {"SSH_AUTH_SOCK": str(ssh_agent.place)}
    _run(tmp_path, lines, env)
    assert _run(tmp_path, token, {**env, **_request(granted, tmp_path, "RS256")})[-1].count(".") == 2
