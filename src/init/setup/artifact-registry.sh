#!/usr/bin/env bash
# Creates remote repositories in Artifact Registry. Written by `pullthrough init artifact-registry --setup`.
# Needs gcloud, and the role artifactregistry.admin in the project. Existing objects are not changed.
set -euo pipefail

PROJECT=@PROJECT@
LOCATION=@LOCATION@
# The service account of the nodes.
NODE_SERVICE_ACCOUNT=${NODE_SERVICE_ACCOUNT:?set it to the e-mail address of the service account of the nodes}
# Optional login at Docker Hub, for a higher limit of pulls. The access token is a secret's name:
# projects/PROJECT/secrets/NAME/versions/VERSION.
DOCKER_HUB_USERNAME=${DOCKER_HUB_USERNAME:-}
DOCKER_HUB_TOKEN_SECRET=${DOCKER_HUB_TOKEN_SECRET:-}
# Days after which cached images are deleted. The next pull caches them again.
KEEP_DAYS=${KEEP_DAYS:-90}

# Each line: repository and upstream registry.
UPSTREAMS='
@UPSTREAMS@
'

gcloud services enable artifactregistry.googleapis.com --project="$PROJECT"
cleanup=$(mktemp)
trap 'rm -f "$cleanup"' EXIT
cat >"$cleanup" <<POLICY
[{"name": "cached-again-if-used", "action": {"type": "Delete"}, "condition": {"tagState": "any", "olderThan": "${KEEP_DAYS}d"}}]
POLICY

while read -r repository upstream <&3; do
  here=(--project="$PROJECT" --location="$LOCATION")
  if gcloud artifacts repositories describe "$repository" "${here[@]}" >/dev/null 2>&1; then
    echo "$repository: exists already"
  else
    login=()
    if [[ $upstream == DOCKER-HUB && -n $DOCKER_HUB_USERNAME ]]; then
      login=(--remote-username="$DOCKER_HUB_USERNAME" --remote-password-secret-version="$DOCKER_HUB_TOKEN_SECRET")
    fi
    gcloud artifacts repositories create "$repository" "${here[@]}" --repository-format=docker \
      --mode=remote-repository --remote-docker-repo="$upstream" --remote-repo-config-desc="$upstream" \
      ${login[@]+"${login[@]}"}
    gcloud artifacts repositories set-cleanup-policies "$repository" "${here[@]}" --policy="$cleanup" --no-dry-run
  fi
  gcloud artifacts repositories add-iam-policy-binding "$repository" "${here[@]}" \
    --member="serviceAccount:$NODE_SERVICE_ACCOUNT" --role=roles/artifactregistry.reader
done 3< <(grep -v '^$' <<<"$UPSTREAMS")
