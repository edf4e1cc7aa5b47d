#!/usr/bin/env bash
# Creates artifact cache rules in Azure Container Registry. Written by `pullthrough init acr --setup`.
# Needs the Azure CLI, and the right to administer the registry and the key vault. Existing objects are not changed.
set -euo pipefail

REGISTRY=@REGISTRY@
# A key vault with the secrets NAME-username and NAME-token for each registry that needs a login.
KEY_VAULT=${KEY_VAULT:?set it to the name of the key vault with the credentials}

# Each line: rule, source, target, and the name of the secrets if the source needs a login. Docker Hub always needs one.
UPSTREAMS='
@UPSTREAMS@
'

while read -r rule source target login <&3; do
  if az acr cache show --registry "$REGISTRY" --name "$rule" >/dev/null 2>&1; then
    echo "$rule: exists already"
    continue
  fi
  credentials=()
  if [[ -n $login ]]; then
    vault=$(az keyvault show --name "$KEY_VAULT" --query properties.vaultUri --output tsv)
    vault_id=$(az keyvault show --name "$KEY_VAULT" --query id --output tsv)
    if ! az acr credential-set show --registry "$REGISTRY" --name "$rule" >/dev/null 2>&1; then
      az acr credential-set create --registry "$REGISTRY" --name "$rule" --login-server "${source%%/*}" \
        --username-id "${vault}secrets/$login-username" --password-id "${vault}secrets/$login-token"
    fi
    # The credential set reads the vault with its own identity.
    principal=$(az acr credential-set show --registry "$REGISTRY" --name "$rule" --query identity.principalId --output tsv)
    az role assignment create --role 'Key Vault Secrets User' --scope "$vault_id" \
      --assignee-object-id "$principal" --assignee-principal-type ServicePrincipal
    credentials=(--cred-set "$rule")
  fi
  az acr cache create --registry "$REGISTRY" --name "$rule" --source-repo "$source" --target-repo "$target" \
    ${credentials[@]+"${credentials[@]}"}
done 3< <(grep -v '^$' <<<"$UPSTREAMS")

echo "Let the nodes pull: az aks update --name CLUSTER --resource-group GROUP --attach-acr $REGISTRY"
