#!/usr/bin/env bash
# Creates proxy cache projects in Harbor. Written by `pullthrough init harbor --setup`.
# Needs curl, jq, and an account that administers Harbor. Existing objects are not changed.
set -euo pipefail

HARBOR=https://@HOST@
HARBOR_USERNAME=${HARBOR_USERNAME:-admin}
HARBOR_PASSWORD=${HARBOR_PASSWORD:?set it to the password of $HARBOR_USERNAME}
# true: nodes can pull without a login. false: set imagePullSecrets in the rules.
PUBLIC=${PUBLIC:-true}

# Each line: project, Harbor's type of the upstream registry, and its address. If NAME_USERNAME and NAME_TOKEN are set,
# Harbor logs in with them. For docker-hub, these are DOCKER_HUB_USERNAME and DOCKER_HUB_TOKEN. Docker Hub then allows more
# pulls.
UPSTREAMS='
@UPSTREAMS@
'

harbor() {
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
    --config <(printf 'user = "%s:%s"\n' "$HARBOR_USERNAME" "$HARBOR_PASSWORD") "$@"
}

registry_id() {
  harbor --get "$HARBOR/api/v2.0/registries" --data-urlencode "q=name=$1" | jq --arg name "$1" '.[] | select(.name == $name) | .id'
}

while read -r project type url <&3; do
  if harbor --head --output /dev/null "$HARBOR/api/v2.0/projects?project_name=$project" 2>/dev/null; then
    echo "$project: exists already"
    continue
  fi
  variable=$(tr 'a-z-' 'A-Z_' <<<"$project")
  username=${variable}_USERNAME token=${variable}_TOKEN
  if [[ -z $(registry_id "$project") ]]; then
    jq --null-input --arg name "$project" --arg type "$type" --arg url "$url" --arg key "${!username-}" --arg secret "${!token-}" \
      '{$name, $type, $url, insecure: false}
        + if $key == "" then {} else {credential: {type: "basic", access_key: $key, access_secret: $secret}} end' |
      harbor --request POST "$HARBOR/api/v2.0/registries" --data @-
  fi
  jq --null-input --arg name "$project" --argjson id "$(registry_id "$project")" --arg public "$PUBLIC" \
    '{project_name: $name, registry_id: $id, metadata: {$public}}' |
    harbor --request POST "$HARBOR/api/v2.0/projects" --data @-
  echo "$project: caches $url"
done 3< <(grep -v '^$' <<<"$UPSTREAMS")
