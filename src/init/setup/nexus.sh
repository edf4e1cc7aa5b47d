#!/usr/bin/env bash
# Creates Docker proxy repositories in Nexus Repository 3.83 or later. Written by `pullthrough init nexus --setup`.
# Needs curl, jq, and an account that administers Nexus. Existing objects are not changed.
set -euo pipefail

NEXUS=https://@HOST@
NEXUS_USERNAME=${NEXUS_USERNAME:-admin}
NEXUS_PASSWORD=${NEXUS_PASSWORD:?set it to the password of $NEXUS_USERNAME}
BLOB_STORE=${BLOB_STORE:-default}

# Each line: repository, type of index, and address of the upstream registry. If NAME_USERNAME and NAME_TOKEN are set, Nexus
# logs in with them. For docker-hub, these are DOCKER_HUB_USERNAME and DOCKER_HUB_TOKEN.
UPSTREAMS='
@UPSTREAMS@
'

nexus() {
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
    --config <(printf 'user = "%s:%s"\n' "$NEXUS_USERNAME" "$NEXUS_PASSWORD") "$@"
}

while read -r name index url <&3; do
  if nexus --output /dev/null "$NEXUS/service/rest/v1/repositories/docker/proxy/$name" 2>/dev/null; then
    echo "$name: exists already"
    continue
  fi
  variable=$(tr 'a-z-' 'A-Z_' <<<"$name")
  username=${variable}_USERNAME token=${variable}_TOKEN
  jq --null-input --arg name "$name" --arg index "$index" --arg url "$url" --arg store "$BLOB_STORE" \
    --arg username "${!username-}" --arg password "${!token-}" \
    '{$name, online: true,
      storage: {blobStoreName: $store, strictContentTypeValidation: true},
      proxy: {remoteUrl: $url, contentMaxAge: 1440, metadataMaxAge: 1440},
      negativeCache: {enabled: true, timeToLive: 1440},
      httpClient: ({blocked: false, autoBlock: true}
        + if $username == "" then {} else {authentication: {type: "username", $username, $password}} end),
      docker: {v1Enabled: false, forceBasicAuth: false, pathEnabled: true},
      dockerProxy: {indexType: $index, cacheForeignLayers: false}}' |
    nexus --request POST "$NEXUS/service/rest/v1/repositories/docker/proxy" --data @-
  echo "$name: caches $url"
done 3< <(grep -v '^$' <<<"$UPSTREAMS")

# Container runtimes request a token before they pull, also without a login.
realms=$(nexus "$NEXUS/service/rest/v1/security/realms/active")
if [[ $(jq 'index("DockerToken")' <<<"$realms") == null ]]; then
  jq '. + ["DockerToken"]' <<<"$realms" | nexus --request PUT "$NEXUS/service/rest/v1/security/realms/active" --data @-
fi
