#!/usr/bin/env bash
# Runs one plain registry for each registry that is cached. Written by `pullthrough init registry --setup`.
# Needs docker, on the host that the rules name. Kubernetes pulls over TLS unless containerd is told otherwise: put a proxy
# before the ports, or the files of a certificate into each configuration (http.tls).
set -euo pipefail

IMAGE=${IMAGE:-registry:2}
# Where configurations and images are kept.
FOLDER=${FOLDER:-/srv/registry}

# The name, the port, and the address of the registry behind it. If NAME_USERNAME and NAME_TOKEN are set, it logs in with
# them: DOCKER_HUB_USERNAME and DOCKER_HUB_TOKEN for docker-hub.
UPSTREAMS='
@UPSTREAMS@
'

while read -r name port url <&3; do
  variable=$(tr 'a-z-' 'A-Z_' <<<"$name")
  username=${variable}_USERNAME token=${variable}_TOKEN
  mkdir -p "$FOLDER/$name"
  (
    umask 077
    cat >"$FOLDER/$name.yml" <<YAML
version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
http:
  addr: :5000
proxy:
  remoteurl: $url
YAML
    if [[ -n ${!username-} ]]; then
      printf '  username: "%s"\n  password: "%s"\n' "${!username}" "${!token-}" >>"$FOLDER/$name.yml"
    fi
  )
  if [[ ${CONFIGURE_ONLY-} != true ]]; then
    docker run --detach --restart always --name "cache-$name" --publish "$port:5000" \
      --volume "$FOLDER/$name.yml:/config.yml:ro" --volume "$FOLDER/$name:/var/lib/registry" "$IMAGE" /config.yml
  fi
done 3< <(grep -v '^$' <<<"$UPSTREAMS")
