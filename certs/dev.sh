#!/usr/bin/env bash
# Creates a CA and a serving certificate for development: ca.crt, tls.crt and tls.key.
#
#   dev.sh [FOLDER [NAME...]]
#
# The default of FOLDER is certs/dev. NAMEs are the DNS names and IP addresses in the certificate, by default localhost,
# 127.0.0.1, ::1 and pullthrough.pullthrough.svc. If the files have these names and are valid for another day, they are reused.
# Otherwise all files are created again.
set -euo pipefail
umask 077

days=90

fail() {
  printf 'dev.sh: %s\n' "$*" >&2
  exit 1
}

# Prints the type of a name in subjectAltName: DNS or IP.
kind() {
  case $1 in
    '' | -* | *[!A-Za-z0-9.:*-]*) fail "'$1' is neither a DNS name nor an IP address" ;;
    *:*) echo IP ;;
    *[!0-9.]*) echo DNS ;;
    *) echo IP ;;
  esac
}

# Succeeds if the certificate has this CA, this key and these names, and is valid for another day.
is_good() {
  local name option
  for name in "${names[@]}"; do
    if [[ $(kind "$name") == IP ]]; then option=-verify_ip; else option=-verify_hostname; fi
    openssl verify -CAfile "$folder/ca.crt" -purpose sslserver "$option" "$name" "$folder/tls.crt" || return
  done
  openssl x509 -in "$folder/tls.crt" -noout -checkend 86400 &&
    [[ $(openssl x509 -in "$folder/tls.crt" -noout -pubkey) == "$(openssl pkey -in "$folder/tls.key" -pubout)" ]]
} >/dev/null 2>&1

make_all() {
  local name separator='' alternative_names=''
  for name in "${names[@]}"; do
    alternative_names+=$separator$(kind "$name"):$name
    separator=,
  done
  # Replaces the openssl.cnf of the system, which may add extensions.
  printf '%s\n' '[req]' distinguished_name=name '[name]' >openssl.cnf
  printf '%s\n' "subjectAltName=$alternative_names" basicConstraints=critical,CA:FALSE \
    keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth \
    subjectKeyIdentifier=hash authorityKeyIdentifier=keyid >extensions.cnf

  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key &&
    openssl req -config openssl.cnf -new -x509 -key ca.key -subj '/CN=pullthrough development CA' -days "$days" \
      -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
      -addext subjectKeyIdentifier=hash -out ca.crt &&
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out tls.key &&
    openssl req -config openssl.cnf -new -key tls.key -subj /CN=pullthrough -out tls.csr &&
    openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" -days "$days" \
      -extfile extensions.cnf -out tls.crt
}

command -v openssl >/dev/null || fail "openssl is missing: install it"
folder=${1:-$(dirname "${BASH_SOURCE[0]}")/dev}
names=("${@:2}")
((${#names[@]})) || names=(localhost 127.0.0.1 ::1 pullthrough.pullthrough.svc)
for name in "${names[@]}"; do kind "$name" >/dev/null; done
mkdir -p "$folder" || fail "can't create the folder $folder: pass another folder as the first argument"
folder=$(cd "$folder" && pwd)

if is_good; then
  echo "dev.sh: the certificate in $folder is valid for ${names[*]}; nothing to do" >&2
  exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
log=$(make_all 2>&1) || fail "openssl failed to create a certificate for ${names[*]}:"$'\n'"$log"
# The key of the CA is removed with $work, so no further certificate of this CA can be signed.
mv ca.crt tls.crt tls.key "$folder"
echo "dev.sh: created ca.crt, tls.crt and tls.key in $folder for ${names[*]}, valid for $days days" >&2
