"""Private keys that never leave their holder: an HSM or smart card, a cloud's KMS, Vault, an ssh-agent.

A key is named by a URI, whose scheme says who holds it. Each holder is a module with `open_key`, and what it needs is
imported when such a URI is used. Other packages add holders by an entry point of the group `key_uri.SIGNERS`.

Rooms for other wings:

- `held_key`: opens the key of a URI, and signs with it; every signature is verified before it is used;
- `protocol`: what a holder has to offer;
- `place`: what names a held key, for the cache.

Rooms for these:

- one module for each holder:
- `awskms`: AWS KMS, by the AWS SDK;
- `pkcs11`: tokens by PKCS #11, with `pkcs11_uri` and `pkcs11_token`: modules, sessions, PINs;
- `vault`: the transit engine of Vault and OpenBao;
- `ssh_agent`: an ssh-agent, over its socket;
- `wrong_signature`: says what is wrong with a signature that does not verify.
"""
