"""A stand-in for AWS KMS, the package ministack: its keys are in its memory, and it signs as AWS's documents say."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import botocore.session

from tests.interop.started import started
from tests.person import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ACCOUNT = "000000000000"
REGION = "eu-central-1"


class MiniStack:
    """A running stand-in.

    Attributes:
        variables: those that lead to it.
    """

    def __init__(self, port: int) -> None:
        self.variables: Mapping[str, str] = {
            "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "AKIDOFTHETESTS",
            "AWS_SECRET_ACCESS_KEY": "secret key of the tests",
            "AWS_DEFAULT_REGION": REGION,
        }
        session = botocore.session.get_session()
        session.set_credentials("AKIDOFTHETESTS", "secret key of the tests")
        self.kms: Any = session.create_client(
            "kms", region_name=REGION, endpoint_url=self.variables["AWS_ENDPOINT_URL_KMS"]
        )

    def key(self, spec: str, alias: str | None = None, usage: str = "SIGN_VERIFY") -> str:
        """Make a key, and return its ARN."""
        arn: str = self.kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]
        if alias is not None:
            self.kms.create_alias(AliasName=alias, TargetKeyId=arn)
        return arn


@contextmanager
def running_ministack(folder: Path) -> Iterator[MiniStack]:
    """Run one until the end of the block."""
    port = free_port()
    # By itself it listens on all addresses, and on a fixed port for another service.
    own = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SERVICES": "kms",
        "TMPDIR": str(folder),
    }
    with started([sys.executable, "-m", "ministack"], port, folder, own):
        yield MiniStack(port)
