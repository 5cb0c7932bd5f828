"""A token endpoint on this machine, for programs that speak plain OAuth 2.0 and cannot sign (RFC 6749 section 4.4).

Other wings may import:

- `token_server`: listens on loopback or at a Unix socket, and answers; begin here;
- `clients`: whose tokens it gives: those of profiles, or of one client.

`token_request` (a request read and checked) and `answers` (the answers of RFC 6749 section 5) are internal.
"""
