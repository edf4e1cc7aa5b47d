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

{{- /* A digest by itself says it all; the chart's own tag beside it might not be true. */}}
{{- define "pullthrough.image" -}}
{{- with .Values.image -}}
{{- $tag := .digest | empty | ternary (.tag | default $.Chart.AppVersion) .tag -}}
{{- .repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* What `pullthrough export webhook` prints, for rules with or without allowOptOut. */}}
{{- define "pullthrough.registration" -}}
{{- .Files.Get (.Values.allowOptOut | ternary "files/webhook-opt-out.yaml" "files/webhook.yaml") -}}
{{- end }}

{{- define "pullthrough.registrationName" -}}
{{- (include "pullthrough.registration" . | fromYaml).metadata.name -}}
{{- end }}

{{- /* Of admission policies that are about pullthrough's service account. Whatever they can't evaluate they deny; only to it. */}}
{{- define "pullthrough.guarded" -}}
failurePolicy: Fail
matchConditions:
  - name: service-account
    expression: request.userInfo.?username.orValue('') == 'system:serviceaccount:{{ .Release.Namespace }}:pullthrough'
{{- end }}

{{- /* Whether the values make sense together; values.schema.json sees each by itself. */}}
{{- define "pullthrough.validate" -}}
{{- $sources := list -}}
{{- range list "cache" "rules" "existingConfigMap" -}}
{{- if index $.Values . }}{{ $sources = append $sources . }}{{ end -}}
{{- end -}}
{{- if not $sources -}}
{{- fail "\n\nNothing says what to rewrite. Set one of\n  cache              the cache for registry.k8s.io: --set cache=cache.example.com/k8s\n  rules              rules of your own: docs/reference.md\n  existingConfigMap  a ConfigMap with a rules.yaml\n" -}}
{{- end -}}
{{- if gt (len $sources) 1 -}}
{{- fail (printf "\n\n%s exclude each other: set one of them.\n" (join " and " $sources)) -}}
{{- end -}}
{{- $denies := eq .Values.whenNotUnderstood "deny" -}}
{{- if and .Values.cache (or .Values.allowOptOut .Values.recordOriginals $denies) -}}
{{- fail "\n\nallowOptOut, recordOriginals and whenNotUnderstood belong to rules, and `cache` has none: set `rules` instead.\n" -}}
{{- end -}}
{{- if and .Values.existingConfigMap (or .Values.recordOriginals $denies) -}}
{{- fail (printf "\n\nrecordOriginals and whenNotUnderstood have no effect on existingConfigMap: write them into the rules.yaml of %s.\n" .Values.existingConfigMap) -}}
{{- end -}}
{{- with .Values.certificates -}}
{{- if and .caBundle (ne .source "secret") -}}
{{- fail (printf "\n\ncertificates.caBundle is for `source: secret`: with `%s` the authority is filled in by itself.\n" .source) -}}
{{- end -}}
{{- if and .caBundle (not (contains "-----BEGIN CERTIFICATE-----" .caBundle)) -}}
{{- fail "\n\ncertificates.caBundle is no certificate in PEM: --set-file certificates.caBundle=ca.crt\n" -}}
{{- end -}}
{{- end -}}
{{- with .Values.clients -}}
{{- if and .ca .existingConfigMap -}}
{{- fail "\n\nclients.ca and clients.existingConfigMap exclude each other: set one of them.\n" -}}
{{- end -}}
{{- if and .ca (not (contains "-----BEGIN CERTIFICATE-----" .ca)) -}}
{{- fail "\n\nclients.ca is not a certificate in PEM: --set-file clients.ca=client-ca.crt\n" -}}
{{- end -}}
{{- if and .names (not (or .ca .existingConfigMap)) -}}
{{- fail "\n\nclients.names needs the CA that signs for these names: set clients.ca or clients.existingConfigMap.\n" -}}
{{- end -}}
{{- end -}}
{{- if eq (int .Values.port) (int .Values.metricsPort) -}}
{{- fail (printf "\n\nport and metricsPort are both %d: give one of them another.\n" (int .Values.port)) -}}
{{- end -}}
{{- end }}
