"""JOSE: keys, JWK Sets, and the signatures of JWTs (RFC 7515 to RFC 7519).

Other wings may import:

- `encoding`: strict base64url and JSON;
- `keys`: a private key in each of its usual forms, and its public half;
- `jwks`: the public keys that may verify a signature, from a file or a JWK Set;
- `decode`: take a JWT apart, and check its times and claims;
- `verify`: find the key that made a signature, or the wrong form that a signature has.

`unusable_key` is internal: it explains to `keys` what was given instead of a private key.
"""
