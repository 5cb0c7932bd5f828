"""Access tokens: asked for, kept, given again and inspected.

Rooms that other wings may import:

- `client_credentials`: a client's own token (RFC 6749 section 4.4), from the cache or the server; begin here;
- `endpoint`: the one token request, whatever the grant is;
- `response`: the answer of a token endpoint, read and announced;
- `cache`: tokens and refusals on disk, and one request however many processes ask;
- `shared`: the same in a server that many machines share; see `shared_cache`;
- `shared_entries`: what is in that server, for the commands that list it and clear it;
- `cache_entry`: what the cache keeps of one request, and its form in the file;
- `inspection`: a token taken apart and verified.

`token_source` and `bearer_auth` are the Python API; of the commands only those that go on running use the first.
"""
