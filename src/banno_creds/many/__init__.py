"""Many clients at once: asked for tokens in threads, gently, over shared connections.

Rooms that other wings may import:

- `run`: what became of each of many clients; begin here;
- `outcome`: what became of one client;
- `pacing`: how gently a host is asked, and when it is not asked any more;
- `sources`: a source for each client, and what they share;
- `record`: how each profile was last found.

`token_pool` is the Python API.
"""
