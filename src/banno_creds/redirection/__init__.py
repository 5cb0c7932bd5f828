"""The redirection endpoint (RFC 6749 section 3.1.2): the browser comes back to it after signing in.

Other wings may import:

- `endpoint`: listen on loopback for the authorization response, and show the browser a page;
- `certificate`: the certificate with which the endpoint speaks https;
- `pages`: the HTML pages;
- `listeners`: sockets on loopback, why a port cannot be had, and the programs at their other ends;
- `loopback_server`: a bounded HTTP server, which the endpoint of `serve` stands on as well.
"""
