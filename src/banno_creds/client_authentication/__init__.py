"""Client authentication: how a client proves who it is, by a signed JWT (RFC 7523) or by a client secret (RFC 6749).

All rooms are for other wings:

- `methods`: the two methods, and the choice between them for a login;
- `client_assertion`: the JWT that proves it;
- `private_key`: from the place of a private key to the signer;
- `key_facts`: what is known of a key of any kind, and which profiles use it;
- `key_age`: since when a key is there;
- `signer`: signs with a private key, and verifies each signature.
"""
