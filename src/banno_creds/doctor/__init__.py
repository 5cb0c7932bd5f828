"""The doctor: examine a client's whole set-up, and find out why a server refuses it.

Rooms: `examination` (the order of the stages; begin there), the stages `machine`, `shared_cache`, `server` and
`request`, `conclusion` (causes and advice), `case` (the set-up and what is known of it), `findings` (small
constructors), `network` (the way to a server, step by step) and `support_bundle` (a text for a support case). The
command line imports `case`, `examination`, `conclusion` and `support_bundle`.
"""
