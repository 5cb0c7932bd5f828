"""The servers that tests talk to, all on loopback, each over real sockets.

Rooms:
    loopback: `LoopbackServer`, the base of the others: a function or a subclass gives the answers.
    scripted: `ScriptedServer` gives the answers that it was told, one after the other.
    issuer: `Issuer` grants each token request a token of its own.
    many: `Many` grants tokens to many clients, over connections that it keeps open.
    bank: `Bank` has a discovery document, keys and a token endpoint.
    bank_api: `Api` gives out tokens, and is the API that takes them.
    openid_provider: `OpenIdProvider` signs a person in without a question.
    set_bank: `SetBank` knows its client by a JWKS URI, and caches the set as node-oidc-provider does.
    files: `FileServer` serves documents by path.
    raw: `RawServer` says exact bytes, over TLS if it is asked to; `Proxy` stands before one.
    kms: `Kms` has one key, and answers as AWS KMS does, or as it is told.
    redis: `Redis` is a real one, `Sentinel` watches two, `Between` is a proxy that spoils their answers.
    agent: `Agent` answers as an ssh-agent would not.
    tls: `Authority` issues certificates.
"""
