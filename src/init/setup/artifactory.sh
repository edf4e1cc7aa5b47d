#!/usr/bin/env bash
# Creates remote repositories in Artifactory. Written by `pullthrough init artifactory --setup`.
# Needs curl, jq, and an access token of an administrator. Existing objects are not changed.
set -euo pipefail

ARTIFACTORY=https://@HOST@/artifactory
ARTIFACTORY_TOKEN=${ARTIFACTORY_TOKEN:?set it to an access token of an administrator}
# Hours without a pull after which an image is deleted from the cache.
KEEP_HOURS=${KEEP_HOURS:-2160}

# Each line: repository, and address of the upstream registry. If NAME_USERNAME and NAME_TOKEN are set, Artifactory logs in
# with them. For docker-hub, these are DOCKER_HUB_USERNAME and DOCKER_HUB_TOKEN.
UPSTREAMS='
@UPSTREAMS@
'

artifactory() {
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
    --config <(printf 'header = "Authorization: Bearer %s"\n' "$ARTIFACTORY_TOKEN") "$@"
}

while read -r key url <&3; do
  if artifactory --output /dev/null "$ARTIFACTORY/api/repositories/$key" 2>/dev/null; then
    echo "$key: exists already"
    continue
  fi
  variable=$(tr 'a-z-' 'A-Z_' <<<"$key")
  username=${variable}_USERNAME token=${variable}_TOKEN
  jq --null-input --arg key "$key" --arg url "$url" --argjson hours "$KEEP_HOURS" --arg username "${!username-}" --arg password "${!token-}" \
    '{$key, $url, rclass: "remote", packageType: "docker", dockerApiVersion: "V2", enableTokenAuthentication: true,
      unusedArtifactsCleanupPeriodHours: $hours} + if $username == "" then {} else {$username, $password} end' |
    artifactory --request PUT "$ARTIFACTORY/api/repositories/$key" --data @-
done 3< <(grep -v '^$' <<<"$UPSTREAMS")
