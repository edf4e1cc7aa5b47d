{{- define "pullthrough.selectorLabels" -}}
app.kubernetes.io/name: pullthrough
app.kubernetes.io/component: webhook
{{- end }}

{{- define "pullthrough.labels" -}}
{{ include "pullthrough.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "pullthrough.metadata" -}}
name: pullthrough
namespace: {{ .Release.Namespace }}
labels:
  {{- include "pullthrough.labels" . | nindent 2 }}
{{- end }}

{{- /* With a digest, no default tag: it could differ from the digest's image. */}}
{{- define "pullthrough.image" -}}
{{- with .Values.image -}}
{{- $tag := .digest | empty | ternary (.tag | default $.Chart.AppVersion) .tag -}}
{{- .repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* What `pullthrough export webhook --warn-templates` prints, for rules with or without allowOptOut: the webhook for Pods, and
  that for templates. */}}
{{- define "pullthrough.webhookConfiguration" -}}
{{- .Files.Get (.Values.allowOptOut | ternary "files/webhook-opt-out.yaml" "files/webhook.yaml") -}}
{{- end }}

{{- define "pullthrough.webhookConfigurationName" -}}
{{- (include "pullthrough.webhookConfiguration" . | fromYaml).metadata.name -}}
{{- end }}

{{- /* Common part of the admission policies for pullthrough's service account. On errors, they deny its requests. */}}
{{- define "pullthrough.guarded" -}}
failurePolicy: Fail
matchConditions:
  - name: service-account
    expression: request.userInfo.?username.orValue('') == 'system:serviceaccount:{{ .Release.Namespace }}:pullthrough'
{{- end }}

{{- /* `from` of the rule of `serve --cache`. */}}
{{- define "pullthrough.kubernetesRegistries" -}}
- registry.k8s.io
- k8s.gcr.io
- gcr.io/google_containers
- gcr.io/google-containers
- us.gcr.io/k8s-artifacts-prod
- eu.gcr.io/k8s-artifacts-prod
- asia.gcr.io/k8s-artifacts-prod
{{- end }}

{{- /* The rules of the ConfigMap, as a list. Empty with existingConfigMap. */}}
{{- define "pullthrough.rules" -}}
{{- with .Values.cache -}}
{{- if .prefix -}}
- name: kubernetes
  from:
    {{- include "pullthrough.kubernetesRegistries" . | nindent 4 }}
  to: {{ .prefix | quote }}
  mode: {{ .mode }}
  {{- if and .namespaces (not (has "*" (.namespaces.include | default list))) }}
  namespaces:
    {{- toYaml .namespaces | nindent 4 }}
  {{- if and .namespaces.include (eq .mode "enforce") }}
- name: kubernetes-observed
  from:
    {{- include "pullthrough.kubernetesRegistries" . | nindent 4 }}
  to: {{ .prefix | quote }}
  mode: observe
  {{- end }}
  {{- end }}
{{- else -}}
{{- toYaml $.Values.rules -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Text if the Pods send requests to caches. */}}
{{- define "pullthrough.probes" -}}
{{- if .Values.probes.enabled }}true{{ end -}}
{{- range .Values.caches }}{{ if hasKey . "health" }}true{{ end }}{{ end -}}
{{- include "pullthrough.checksExistence" . -}}
{{- end }}

{{- /* Text if a rule has checkExists, which sends requests to caches. */}}
{{- define "pullthrough.checksExistence" -}}
{{- range include "pullthrough.rules" . | fromYamlArray }}{{ if hasKey . "checkExists" }}true{{ end }}{{ end -}}
{{- end }}

{{- /* The first rule with `from`, for the notes. */}}
{{- define "pullthrough.testRule" -}}
{{- $first := dict -}}
{{- range include "pullthrough.rules" . | fromYamlArray -}}
{{- if and .from (not $first) }}{{ $first = . }}{{ end -}}
{{- end -}}
{{- toYaml $first -}}
{{- end }}

{{- /* An image that the rule matches, or IMAGE. */}}
{{- define "pullthrough.testImage" -}}
{{- $from := (include "pullthrough.testRule" . | fromYaml).from | default list | first -}}
{{- if not $from -}}
IMAGE
{{- else -}}
{{- get (dict "docker.io" "nginx" "registry.k8s.io" "registry.k8s.io/pause:3.10") $from | default (printf "%s/test:1" $from) -}}
{{- end -}}
{{- end }}

{{- /* The namespaces for which the webhook is not called. With Fail, the Pods of kube-system must start before pullthrough. */}}
{{- define "pullthrough.excludedNamespaces" -}}
{{- $needed := eq .Values.webhook.failurePolicy "Fail" | ternary (list "kube-system") list -}}
{{- concat (list .Release.Namespace) $needed .Values.webhook.excludedNamespaces | uniq | toYaml -}}
{{- end }}

{{- /* A namespace of the rule for which the webhook is called, or NAMESPACE. */}}
{{- define "pullthrough.testNamespace" -}}
{{- $namespaces := (include "pullthrough.testRule" . | fromYaml).namespaces | default dict -}}
{{- $include := $namespaces.include | default (list "*") -}}
{{- $exclude := concat ($namespaces.exclude | default list) (include "pullthrough.excludedNamespaces" . | fromYamlArray) -}}
{{- $covered := list -}}
{{- range concat $include (list "default") | uniq -}}
{{- if and (not (contains "*" .)) (include "pullthrough.anyMatches" (list $include .)) (not (include "pullthrough.anyMatches" (list $exclude .))) -}}
{{- $covered = append $covered . -}}
{{- end -}}
{{- end -}}
{{- first $covered | default "NAMESPACE" -}}
{{- end }}

{{- /* For a list of globs and a name: text if a glob matches the name. */}}
{{- define "pullthrough.anyMatches" -}}
{{- $name := last . -}}
{{- range first . -}}
{{- if regexMatch (printf "^%s$" (replace "*" ".*" .)) $name }}true{{ end -}}
{{- end -}}
{{- end }}

{{- /* Checks values in combination. values.schema.json checks each by itself. */}}
{{- define "pullthrough.validate" -}}
{{- if and (has .Release.Namespace (list "default" "kube-system")) (not .Values.webhook.allowSharedNamespace) -}}
{{- fail (printf "\n\nThe namespace %s has Pods of others. The webhook is not called for pullthrough's own namespace, so their images would\nnot be rewritten. Install pullthrough into a namespace of its own:\n\n  --namespace pullthrough --create-namespace\n\nIf their images may stay unchanged, set webhook.allowSharedNamespace=true.\n" .Release.Namespace) -}}
{{- end -}}
{{- $sources := list -}}
{{- if .Values.cache.prefix }}{{ $sources = append $sources "cache.prefix" }}{{ end -}}
{{- range list "rules" "existingConfigMap" -}}
{{- if index $.Values . }}{{ $sources = append $sources . }}{{ end -}}
{{- end -}}
{{- if not $sources -}}
{{- fail "\n\nThere are no rules. Set one of\n  cache.prefix       cache for registry.k8s.io: --set cache.prefix=HOST/PATH\n  rules              list of rules: docs/reference/rules-file.md\n  existingConfigMap  name of a ConfigMap with a rules.yaml\n" -}}
{{- end -}}
{{- if gt (len $sources) 1 -}}
{{- fail (printf "\n\n%s exclude each other. Set one of them.\n" (join " and " $sources)) -}}
{{- end -}}
{{- if and (not .Values.cache.prefix) (or .Values.cache.namespaces (eq .Values.cache.mode "enforce")) -}}
{{- fail (printf "\n\ncache.mode and cache.namespaces have no effect without cache.prefix. Set mode and namespaces in the rules of `%s`.\n" (first $sources)) -}}
{{- end -}}
{{- range include "pullthrough.rules" . | fromYamlArray -}}
{{- $where := $.Values.cache.prefix | empty | ternary (printf "`to` in rule %s" .name) "cache.prefix" -}}
{{- if contains "://" .to -}}
{{- fail (printf "\n\ninvalid %s `%s`: it has a scheme; write `%s`\n" $where .to (regexReplaceAll "^.*://" .to "")) -}}
{{- end -}}
{{- if not (regexMatch "^([^/]*[.:][^/]*|localhost)(/|$)" .to) -}}
{{- fail (printf "\n\ninvalid %s `%s`: its first component is not a registry host (with a `.` or a `:`, or `localhost`); write the cache's host first, as in `cache.example.com/%s`\n" $where .to .to) -}}
{{- end -}}
{{- if regexMatch "(?i)^(([^/]*\\.)?example(\\.(com|net|org))?(:[0-9]+)?|123456789012\\.dkr\\.ecr\\..*)(/|$)" .to -}}
{{- fail (printf "\n\n%s is a placeholder: no image can be pulled from it. Set %s to your cache.\n" .to $where) -}}
{{- end -}}
{{- end -}}
{{- $denies := eq .Values.whenNotUnderstood "deny" -}}
{{- if and .Values.existingConfigMap (or .Values.recordOriginals .Values.caches .Values.operators $denies) -}}
{{- fail (printf "\n\ncaches, operators, recordOriginals and whenNotUnderstood have no effect with existingConfigMap. Set them in the rules.yaml of %s.\n" .Values.existingConfigMap) -}}
{{- end -}}
{{- with .Values.certificates -}}
{{- if and .caBundle (ne .source "secret") -}}
{{- fail (printf "\n\ncertificates.caBundle is for `source: secret`. With `%s`, the CA is published automatically. Remove caBundle.\n" .source) -}}
{{- end -}}
{{- if and .caBundle (not (contains "-----BEGIN CERTIFICATE-----" .caBundle)) -}}
{{- fail "\n\ncertificates.caBundle is not a certificate in PEM. Set it with --set-file certificates.caBundle=ca.crt\n" -}}
{{- end -}}
{{- end -}}
{{- with .Values.clients -}}
{{- if and .ca .existingConfigMap -}}
{{- fail "\n\nclients.ca and clients.existingConfigMap exclude each other. Set one of them.\n" -}}
{{- end -}}
{{- if and .ca (not (contains "-----BEGIN CERTIFICATE-----" .ca)) -}}
{{- fail "\n\nclients.ca is not a certificate in PEM. Set it with --set-file clients.ca=client-ca.crt\n" -}}
{{- end -}}
{{- if and .names (not (or .ca .existingConfigMap)) -}}
{{- fail "\n\nclients.names requires the CA of these names. Set clients.ca or clients.existingConfigMap.\n" -}}
{{- end -}}
{{- end -}}
{{- if eq (int .Values.port) (int .Values.metricsPort) -}}
{{- fail (printf "\n\nport and metricsPort are both %d. Set different ports.\n" (int .Values.port)) -}}
{{- end -}}
{{- end }}
