"""JOSE: keys, JWK Sets, and the signatures of JWTs (RFC 7515 to RFC 7519).

Other wings may import:

- `encoding`: strict base64url and JSON;
- `keys`: a key pair, and a private key in each of its usual forms;
- `private_keys`: `form_of`, the form that a private key was given in;
- `public_keys`: the public keys in a file, in each of their usual forms;
- `any_key`: any key in a file, private or public, by its public half;
- `jwks`: the public keys that may verify a signature, from a file or a JWK Set;
- `key_set`: a JWK Set that is published: add and remove keys, and write it as it was;
- `decode`: take a JWT apart, and check its times and claims;
- `verify`: find the key that made a signature, or the wrong form that a signature has.

The others are internal: `dressings` undoes what editors and secret stores do to a key, `der` tells by its structure
what something is, `jwk` mends the members of a JWK, `libraries` meets what libraries raise, and `unusable_key` names
what was given instead of a key.
"""
