#!/bin/sh
# The peer without Python: what people do by hand. Usage: openssl-curl.sh CLIENT_ID PRIVATE_KEY TOKEN_ENDPOINT
set -eu
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
header=$(printf '{"alg":"PS256"}' | base64url)
payload=$(printf '{"jti":"%s","aud":"%s","sub":"%s","iss":"%s","exp":%s}' \
  "$(openssl rand -hex 16)" "$3" "$1" "$1" "$(($(date +%s) + 60))" | base64url)
signature=$(printf '%s.%s' "$header" "$payload" | openssl dgst -sha256 \
  -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign "$2" | base64url)
printf '%s.%s.%s' "$header" "$payload" "$signature" | curl --silent --show-error --fail \
  --data grant_type=client_credentials --data scope=openid \
  --data-urlencode client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
  --data-urlencode client_assertion@- "$3"
