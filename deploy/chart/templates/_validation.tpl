{{/* Refuse values that the schema cannot compare, each with a sentence. */}}
{{- define "manyserve.validate" -}}
{{- include "manyserve.validateLabels" (dict "path" "commonLabels" "labels" .Values.commonLabels) -}}
{{- include "manyserve.validateLabels" (dict "path" "operator.podLabels" "labels" .Values.operator.podLabels) -}}
{{- include "manyserve.validateLabels" (dict "path" "webhook.podLabels" "labels" .Values.webhook.podLabels) -}}
{{- if eq (include "manyserve.webhookPort" .) (include "manyserve.webhookMetricsPort" .) -}}
{{- fail "webhook.port and webhook.metricsPort must be different ports" -}}
{{- end -}}
{{- $same := eq (include "manyserve.account" (dict "root" . "component" "operator")) (include "manyserve.account" (dict "root" . "component" "webhook")) -}}
{{- if and $same .Values.webhook.enabled -}}
{{- fail "operator.serviceAccount.name and webhook.serviceAccount.name must be different: each program has rights of its own" -}}
{{- end -}}
{{- end }}

{{/* Refuse labels by which objects select pods, or Helm and the chart find objects. */}}
{{- define "manyserve.validateLabels" -}}
{{- range $key, $_ := .labels -}}
{{- if or (eq $key "helm.sh/chart") (has $key (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/part-of")) -}}
{{- fail (printf "%s must not have %s: the chart sets this label itself" $.path $key) -}}
{{- end -}}
{{- end -}}
{{- end }}
