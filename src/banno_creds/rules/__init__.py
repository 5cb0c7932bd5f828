"""The rules of the token endpoint: what can be wrong with an assertion, a request or a registration, and the fix.

`assertion` judges a client assertion, `request` the token request around it, and `lint` either of them in pasted
text; `client_id`, `clock`, `key_age` and `registration` judge the rest of a set-up, `key_set` and `jwks_uri` a
published JWK Set and its address. All give `findings`, whose texts stand in errors.md and are read by `explanations`.
`diagnosis` finds the causes of a refusal in the server's words, which `wordings` (with wordings.txt) understands, and
in the findings.

Other wings may import these, and `known` (the values that an assertion is held against), `presented` (an assertion
taken apart), `outcomes.with_fix` and `shown`. `claims` and `signature` hold rules for `assertion` alone.
"""
