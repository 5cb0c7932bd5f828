"""HTTP as this package needs it: bounded in time and size, no redirects, the operating system's trust store.

Rooms: `client` (HttpClient; begin here), `exchange` (one request and its Answer), `discovery` (an issuer's endpoints),
`faults` (what breaks, as errors with rules), `trust` (certificate authorities), `proxies`. Other wings import `client`,
`exchange` and `discovery`; the doctor also imports `faults` and `proxies`, to find the same faults without a request.
"""
