"""HTTP as this package needs it: bounded in time and size, no redirects, the operating system's trust store.

Rooms: `client` (HttpClient; begin there), `exchange` (one request and its Answer), `connections` (kept open and
shared), `attempts` (what is tried again), `answers` (what an answer says), `discovery` (an issuer's endpoints),
`faults` (what breaks, as errors with rules), `trust` (certificate authorities), `tls` (their connections, which no
fork cuts in two), `proxies`, `compression`. Other wings import all but the last five; the doctor
imports `faults` and `proxies` as well, to name the same faults without a request.
"""
