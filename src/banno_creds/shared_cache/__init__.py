"""A cache that many machines share: a Redis or Valkey server, which learns nothing of what it keeps.

It knows no tokens: `tokens.shared` puts them in. Rooms that other wings may import:

- `store`: the server, its password and its trust, and a few commands in one round trip; begin here;
- `connection`: one connection, its protocol and its deadlines;
- `faults`: what may be wrong with the server;
- `sealing`: the names under which values are kept, and the values, sealed.

What is in its URL stands in `cache_address`, below the profiles, which check it too.
"""
