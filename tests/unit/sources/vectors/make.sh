#!/usr/bin/env bash
# Prints openssl.json: signatures by OpenSSL over one body, with throw-away keys.
set -euo pipefail
cd "$(mktemp -d)"
body='{"event":"EXECUTION_FAILED","text":"äöü \u001b"}'
printf '%s' "$body" > body
line() { printf '  "%s": "%s"%s\n' "$1" "$2" "${3-,}"; }
flat() { base64 -w0; }
mac() { openssl dgst -sha256 -mac HMAC -macopt "$1" -binary; }

openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa 2>/dev/null
openssl pkey -in rsa -pubout -out spki.pem
openssl rsa -in rsa -RSAPublicKey_out -out pkcs1.pem 2>/dev/null
openssl genpkey -algorithm ED25519 -out ed
secret=$(openssl rand 32 | flat)
hex=$(printf '%s' "$secret" | base64 -d | od -An -tx1 | tr -d ' \n')

echo '{'
line body "$(flat < body)"
line rsa_spki_der "$(openssl pkey -in rsa -pubout -outform DER | flat)"
line rsa_pkcs1_der "$(openssl rsa -in rsa -RSAPublicKey_out -outform DER 2>/dev/null | flat)"
line rsa_spki_pem "$(flat < spki.pem)"
line rsa_pkcs1_pem "$(flat < pkcs1.pem)"
line rsa_signature "$(openssl dgst -sha256 -sign rsa body | flat)"
line text_secret 'a text of more than sixteen bytes'
line hmac_hex "$(mac 'key:a text of more than sixteen bytes' < body | od -An -tx1 | tr -d ' \n')"
line hmac_base64 "$(mac 'key:a text of more than sixteen bytes' < body | flat)"
line slack_hex "$( (printf 'v0:1700000000:'; cat body) | mac 'key:a text of more than sixteen bytes' | od -An -tx1 | tr -d ' \n')"
line stripe_hex "$( (printf '1700000000.'; cat body) | mac 'key:a text of more than sixteen bytes' | od -An -tx1 | tr -d ' \n')"
line whsec "whsec_$secret"
line standard_v1 "$( (printf 'msg_1.1700000000.'; cat body) | mac "hexkey:$hex" | flat)"
line whpk "whpk_$(openssl pkey -in ed -pubout -outform DER | tail -c 32 | flat)"
(printf 'msg_1.1700000000.'; cat body) > signed
line standard_v1a "$(openssl pkeyutl -sign -inkey ed -rawin -in signed | flat)" ''
echo '}'
