"""Files on disk: where they are, who may read them, and how they are written and locked.

- `own_files`: the files that banno-creds makes for itself (cache, logins, certificate), and their folders; the
  one atomic write. It imports nothing heavy, because a recalled answer waits for it.
- `windows_security`: the owner and the access-control list of a file on Windows, and its handles.
- `held`: on Windows, the wait for another program that holds a file open.
- `lock`: the one lock, and the wait for it.
- `edited`: changes a file that a user keeps, such as the profiles or a JWK Set.
- `secret_files`: the files that a user names: private keys, passphrases, key pairs that are written together.

All but `windows_security` and `held` are for every other wing.
"""
