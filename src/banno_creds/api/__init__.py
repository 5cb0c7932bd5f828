"""Calling the API with an access token.

Rooms: `call` (send the request, follow pages, try a second token; begin there), `request` (its path, query, headers,
all checked), `body` (a file, a pipe, or JSON made of fields). The command line imports all three.
"""
