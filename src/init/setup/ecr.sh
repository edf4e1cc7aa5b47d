#!/usr/bin/env bash
# Creates pull-through caches in Amazon ECR, and lets nodes use them. Written by `pullthrough init ecr --setup`.
# Needs the AWS CLI (version 2), and rights on ECR, IAM and Secrets Manager. Existing objects are not changed.
#
#   NODE_ROLE=NAME bash setup.sh           create them
#   NODE_ROLE=NAME bash setup.sh remove    delete them; repositories, images and secrets stay
set -euo pipefail

ACCOUNT=@ACCOUNT@
REGION=@REGION@
PARTITION=@PARTITION@
# Name of the nodes' IAM role.
NODE_ROLE=${NODE_ROLE:?set it to the name of the IAM role that the nodes have}
# Days after which cached images are deleted. The next pull caches them again.
KEEP_DAYS=${KEEP_DAYS:-90}
# Regions to copy cached images to, such as "eu-central-1 us-east-1". Clusters there need rules with the host of their
# region.
REPLICATE_TO=${REPLICATE_TO:-}

# Each line: prefix, upstream registry, and whether ECR must log in there. It logs in with NAME_USERNAME and NAME_TOKEN of
# the environment. For docker-hub, these are DOCKER_HUB_USERNAME and DOCKER_HUB_TOKEN.
UPSTREAMS='
@UPSTREAMS@
'

export AWS_REGION=$REGION AWS_DEFAULT_REGION=$REGION AWS_PAGER=''
each_upstream() { grep -v '^$' <<<"$UPSTREAMS"; }

if [[ ${1-} == remove ]]; then
  while read -r prefix _ <&3; do
    aws ecr delete-pull-through-cache-rule --registry-id "$ACCOUNT" --ecr-repository-prefix "$prefix"
    aws ecr delete-repository-creation-template --prefix "$prefix"
  done 3< <(each_upstream)
  aws iam delete-role-policy --role-name "$NODE_ROLE" --policy-name pullthrough-cache
  exit
fi

# Prints the ARN of the secret with ECR's login. ECR accepts only names that start with ecr-pullthroughcache/.
credential_arn() {
  local name=ecr-pullthroughcache/$1 variable username token
  if aws secretsmanager describe-secret --secret-id "$name" --query ARN --output text 2>/dev/null; then
    return
  fi
  variable=$(tr 'a-z/.-' 'A-Z___' <<<"${1##*/}")
  username=${variable}_USERNAME
  token=${variable}_TOKEN
  if [[ -z ${!username-} || -z ${!token-} ]]; then
    echo "error: ECR logs in to $2: set $username and $token to a user name and an access token there" >&2
    return 1
  fi
  printf '{"username":"%s","accessToken":"%s"}' "${!username}" "${!token}" |
    aws secretsmanager create-secret --name "$name" --secret-string file:///dev/stdin --query ARN --output text
}

resources=()
while read -r prefix registry login <&3; do
  resources+=("\"arn:$PARTITION:ecr:$REGION:$ACCOUNT:repository/$prefix/*\"")
  if aws ecr describe-pull-through-cache-rules --registry-id "$ACCOUNT" --ecr-repository-prefixes "$prefix" >/dev/null 2>&1; then
    echo "$prefix: has a rule already"
  else
    credential=()
    if [[ $login == login ]]; then
      arn=$(credential_arn "$prefix" "$registry")
      credential=(--credential-arn "$arn")
    fi
    aws ecr create-pull-through-cache-rule --registry-id "$ACCOUNT" --ecr-repository-prefix "$prefix" \
      --upstream-registry-url "$registry" ${credential[@]+"${credential[@]}"}
  fi
  # Settings of the repositories that first pulls create.
  if ! aws ecr describe-repository-creation-templates --prefixes "$prefix" >/dev/null 2>&1; then
    aws ecr create-repository-creation-template --prefix "$prefix" --applied-for PULL_THROUGH_CACHE \
      --description "Images cached from $registry" --lifecycle-policy '{
        "rules": [{
          "rulePriority": 1,
          "description": "The next pull caches an expired image again",
          "selection": {
            "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": '"$KEEP_DAYS"'
          },
          "action": {"type": "expire"}
        }]
      }'
  fi
done 3< <(each_upstream)

# Nodes may pull, create a repository with the first pull of an image, and let ECR import the image.
aws iam attach-role-policy --role-name "$NODE_ROLE" \
  --policy-arn "arn:$PARTITION:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"
aws iam put-role-policy --role-name "$NODE_ROLE" --policy-name pullthrough-cache --policy-document '{
  "Version": "2012-10-17",
  "Statement": [{
    "Sid": "PullThroughCache",
    "Effect": "Allow",
    "Action": ["ecr:CreateRepository", "ecr:BatchImportUpstreamImage"],
    "Resource": ['"$(IFS=,; echo "${resources[*]}")"']
  }]
}'

if [[ -n $REPLICATE_TO ]]; then
  # A registry has one replication configuration, which this call replaces.
  if [[ $(aws ecr describe-registry --query 'length(replicationConfiguration.rules)' --output text) != 0 ]]; then
    echo 'error: the registry replicates already; add the regions and prefixes to its configuration yourself' >&2
    exit 1
  fi
  destinations=() filters=()
  for region in $REPLICATE_TO; do
    destinations+=("{\"region\": \"$region\", \"registryId\": \"$ACCOUNT\"}")
  done
  while read -r prefix _; do
    filters+=("{\"filter\": \"$prefix/\", \"filterType\": \"PREFIX_MATCH\"}")
  done < <(each_upstream)
  aws ecr put-replication-configuration --replication-configuration \
    "{\"rules\": [{\"destinations\": [$(IFS=,; echo "${destinations[*]}")], \"repositoryFilters\": [$(IFS=,; echo "${filters[*]}")]}]}"
fi
