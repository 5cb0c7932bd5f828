"""The provider's own words for why it refused."""

from __future__ import annotations

NO_CLIENT = "client not found"
ALG = "alg mismatch"
AUD = "audience (aud) must equal the endpoint url, issuer identifier or token endpoint url"
NO_KEY = "no applicable key found in the JSON Web Key Set"
SIGNATURE = "signature verification failed"
