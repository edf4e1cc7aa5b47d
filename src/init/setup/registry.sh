#!/usr/bin/env bash
# Starts one plain registry for each upstream registry. Written by `pullthrough init registry --setup`.
# Run it on the host that the rules name. It needs Docker. Nodes pull over TLS unless containerd is configured otherwise. Put a
# TLS proxy before the ports, or add a certificate to each configuration (http.tls).
set -euo pipefail

IMAGE=${IMAGE:-registry:2}
# Folder of configurations and images.
FOLDER=${FOLDER:-/srv/registry}

# Each line: name, port, and address of the upstream registry. If NAME_USERNAME and NAME_TOKEN are set, the plain registry
# logs in with them. For docker-hub, these are DOCKER_HUB_USERNAME and DOCKER_HUB_TOKEN.
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
