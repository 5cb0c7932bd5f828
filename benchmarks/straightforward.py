"""The peer to be measured against: the script most people would write, with click, PyJWT and httpx."""

import json
import time
import uuid
from pathlib import Path

import click
import httpx
import jwt


@click.command()
@click.option("--client-id", required=True)
@click.option("--private-key", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--token-endpoint", required=True)
def main(client_id: str, private_key: Path, token_endpoint: str) -> None:
    """Get one access token."""
    claims = {
        "jti": str(uuid.uuid4()),
        "aud": token_endpoint,
        "sub": client_id,
        "iss": client_id,
        "exp": int(time.time()) + 60,
    }
    response = httpx.post(
        token_endpoint,
        data={
            "grant_type": "client_credentials",
            "scope": "openid",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, private_key.read_text(), algorithm="PS256"),
        },
    )
    response.raise_for_status()
    click.echo(json.dumps(response.json()))


if __name__ == "__main__":
    main()
