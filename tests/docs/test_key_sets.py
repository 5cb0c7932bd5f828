"""The section on key sets in docs/keys.md: its scripts run, and what they publish is what a provider wants."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from banno_creds.http.exchange import Answer
from banno_creds.rules.findings import Verdict
from banno_creds.rules.jwks_uri import PROVIDERS_OWN, judge_answer
from tests.conftest import write_private
from tests.docs.scripts import needs_sh, run_script
from tests.servers.loopback import Says

if TYPE_CHECKING:
    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli
    from tests.servers.scripted import ScriptedServer

pytestmark = pytest.mark.once

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")
SECTION = PAGE.partition("\n## Key sets\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
MAKE, BUCKET = [text for language, text in BLOCKS if language == "sh"]
[NGINX] = [text for language, text in BLOCKS if language == "nginx"]
[JOB] = [text for language, text in BLOCKS if language == "yaml"]
AWS = '#!/bin/sh\nprintf "%s\\n" "$@" > arguments\n'


def _headers_are_good(headers: dict[str, str]) -> bool:
    answer = Answer("https://keys.bank.test/jwks.json", 200, "OK", headers, b"{}", 0.1)
    return all(finding.verdict is Verdict.PASS for finding in judge_answer(answer, 0))


@needs_sh
def test_the_set_is_made_and_changed(tmp_path: Path, rsa_key: PrivateKey) -> None:
    write_private(tmp_path / "private.pem", rsa_key.pem())
    done = run_script(tmp_path, MAKE, {})
    assert done.returncode == 0, done.stdout
    assert "your key        private.pem is key 1" in done.stdout
    (key,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    assert key["kid"] != rsa_key.public.thumbprint()


@needs_sh
def test_the_bucket_has_what_a_provider_wants(tmp_path: Path, rsa_key: PrivateKey, cli: Cli) -> None:
    write_private(tmp_path / "private.pem", rsa_key.pem())
    done = run_script(tmp_path, "banno-creds jwks build private.pem > jwks.json", {})
    assert done.returncode == 0, done.stdout
    (tmp_path / "bin" / "aws").write_text(AWS)
    (tmp_path / "bin" / "aws").chmod(0o755)
    done = run_script(tmp_path, BUCKET, {})
    assert done.returncode == 0, done.stdout
    sent = (tmp_path / "arguments").read_text().split("\n")
    assert sent[:3] == ["s3", "cp", "jwks.json"]
    options = dict(zip(sent[4::2], sent[5::2], strict=False))
    assert _headers_are_good({"content-type": options["--content-type"], "cache-control": options["--cache-control"]})


def test_nginx_sends_what_a_provider_wants() -> None:
    media_type = re.search(r"default_type ([^;]+);", NGINX)
    cache_control = re.search(r'add_header Cache-Control "([^"]+)";', NGINX)
    assert media_type is not None
    assert cache_control is not None
    assert _headers_are_good({"content-type": media_type[1], "cache-control": cache_control[1]})


@needs_sh
def test_the_job_fails_if_the_key_is_not_there(
    tmp_path: Path, rsa_key: PrivateKey, ec_key: PrivateKey, cli: Cli, server: ScriptedServer
) -> None:
    *_, last = yaml.safe_load(JOB)["jobs"]["check"]["steps"]
    script = re.sub(r"https://\S+", f"{server.origin}/jwks.json", last["run"])
    assert script != last["run"]
    write_private(tmp_path / "private.pem", rsa_key.pem())
    published = cli("jwks", "build", tmp_path / "private.pem").stdout.encode()
    server.says(Says(body=published, headers={"content-type": "application/json", "cache-control": "max-age=60"}))
    (tmp_path / "public.pem").write_bytes(rsa_key.public.pem())
    assert run_script(tmp_path, script, {}).returncode == 0
    (tmp_path / "public.pem").write_bytes(ec_key.public.pem())
    assert run_script(tmp_path, script, {}).returncode == 4
    server.says(Says(404))
    assert run_script(tmp_path, script, {}).returncode == 5


def test_the_page_says_what_the_code_does(cli: Cli, tmp_path: Path) -> None:
    assert PROVIDERS_OWN == 60
    assert "keeps a\nset for a minute at the least" in SECTION
    listed = re.findall(r"^\| (\d) \|", SECTION, re.MULTILINE)
    assert listed == ["0", "2", "3", "4", "5"]
    assert cli("explain", "jwks").stderr.count("jwks.") >= 5
