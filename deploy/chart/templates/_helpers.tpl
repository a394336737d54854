{{/* Names, labels, CRDs, scope and alerts. */}}

{{- define "manyserve.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "manyserve.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "manyserve.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "manyserve.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "manyserve.operator" -}}
{{ include "manyserve.fullname" . }}-operator
{{- end }}

{{- define "manyserve.webhook" -}}
{{ include "manyserve.fullname" . }}-webhook
{{- end }}

{{/* The API group. `helm upgrade --reuse-values` from a release without the value has none: the default applies. */}}
{{- define "manyserve.group" -}}
{{- default "serving.kserve.io" (.Values.api).group -}}
{{- end }}

{{/* Name of a cluster-scoped object; called with (dict "root" $ "name" "operator"). The second API group is part of it,
so that a release of each group can have the same name. */}}
{{- define "manyserve.clusterScoped" -}}
{{- $group := include "manyserve.group" .root -}}
{{ include "manyserve.fullname" .root }}-{{ .name }}{{ if ne $group "serving.kserve.io" }}.{{ $group }}{{ end }}
{{- end }}

{{/* The Secret with the webhook's certificate, issued by any issuer. */}}
{{- define "manyserve.certificate" -}}
{{- default (printf "%s-certificate" (include "manyserve.webhook" .)) .Values.webhook.certificate.existingSecret -}}
{{- end }}

{{/* The issuer of the webhook's certificate: "self", or "" for another issuer; then the certificate is mounted. */}}
{{- define "manyserve.selfIssued" -}}
{{- if not (or .Values.webhook.certificate.existingSecret .Values.webhook.certificate.certManager.enabled) -}}
self
{{- end -}}
{{- end }}

{{/* Labels of one component; called with (dict "root" $ "component" "webhook" "more" (dict ...)). The labels in "more" are
for this object only, and replace common ones: a manifest with one key twice is refused by Flux and kustomize. */}}
{{- define "manyserve.labels" -}}
{{- $common := deepCopy (default dict .root.Values.commonLabels) -}}
{{- $more := include "manyserve.overridden" (dict "base" $common "values" .more) | fromYaml -}}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: manyserve
{{ include "manyserve.selector" . }}
{{- with $more }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "manyserve.selector" -}}
app.kubernetes.io/name: {{ include "manyserve.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* A CustomResourceDefinition from files/, kept at uninstall; called with (dict "root" $ "file" "..."). */}}
{{- define "manyserve.crd" -}}
{{- $crd := .root.Files.Get (printf "files/%s/%s" (include "manyserve.group" .root) .file) | fromYaml -}}
{{- include "manyserve.refuseOtherCrd" (dict "root" .root "name" $crd.metadata.name) -}}
{{- $labels := include "manyserve.labels" (dict "root" .root "component" "crds") | fromYaml -}}
{{- $annotations := dict "helm.sh/resource-policy" "keep" -}}
{{- $metadata := merge (dict "labels" $labels "annotations" $annotations) $crd.metadata -}}
{{- merge (dict "metadata" $metadata) $crd | toYaml -}}
{{- end }}

{{/* Refuse to install over a CRD of another controller or of another release; called with (dict "root" $ "name" "...").
A rendering without a cluster (helm template, Argo CD) finds no CRD and refuses nothing. */}}
{{- define "manyserve.refuseOtherCrd" -}}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" .name -}}
{{- if $found -}}
{{- $labels := default dict $found.metadata.labels -}}
{{- $annotations := default dict $found.metadata.annotations -}}
{{- $release := get $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" -}}
{{- if ne (get $labels "app.kubernetes.io/part-of") "manyserve" -}}
{{- include "manyserve.failOverOtherController" . -}}
{{- else if and (not .root.Values.crds.takeOwnership) (or (ne $release .root.Release.Name) (ne $namespace .root.Release.Namespace)) -}}
{{- $owner := ternary (printf "the release %s in the namespace %s" $release $namespace) "no release of Helm" (ne $release "") -}}
{{- fail (printf "%s is a CRD of manyserve and belongs to %s; to take it over, add both --take-ownership and --set crds.takeOwnership=true (docs/install.md)" .name $owner) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "manyserve.failOverOtherController" -}}
{{- if eq (include "manyserve.group" .root) "serving.kserve.io" -}}
{{- fail (printf "%s belongs to another controller, such as KServe, and this release would replace it. Install beside it with --set api.group=serving.manyserve.io, or migrate as docs/migrating-from-kserve.md says" .name) -}}
{{- else -}}
{{- fail (printf "%s is in the cluster without the label app.kubernetes.io/part-of=manyserve, and this release would replace it. Delete it, or label it if manyserve made it (docs/install.md)" .name) -}}
{{- end -}}
{{- end }}

{{/* Egress of both programs: the API server and DNS. */}}
{{- define "manyserve.egress" -}}
- to:
    {{- range .Values.networkPolicy.apiServerCIDRs }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - port: {{ . }}
    {{- end }}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
{{- end }}

{{/* The scope, in the form of the programs' variable. `helm upgrade --reuse-values` from a release without the value has none. */}}
{{- define "manyserve.scope" -}}
{{- if (.Values.scope).namespaces -}}
- name: MANYSERVE_WATCH_NAMESPACES
  value: {{ join "," (.Values.scope).namespaces | quote }}
{{- else if (.Values.scope).namespaceSelector -}}
- name: MANYSERVE_NAMESPACE_SELECTOR
  value: {{ toJson (.Values.scope).namespaceSelector | quote }}
{{- end -}}
{{- end }}

{{/* The namespaces that the webhook reviews, as matchExpressions: both the scope and webhook.namespaceSelector. */}}
{{- define "manyserve.askedNamespaces" -}}
{{- $found := list -}}
{{- with (.Values.scope).namespaces -}}
{{- $found = append $found (dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" .) -}}
{{- end -}}
{{- range compact (list (.Values.scope).namespaceSelector .Values.webhook.namespaceSelector) -}}
{{- range $key, $value := .matchLabels -}}
{{- $found = append $found (dict "key" $key "operator" "In" "values" (list $value)) -}}
{{- end -}}
{{- range .matchExpressions -}}
{{- $found = append $found . -}}
{{- end -}}
{{- end -}}
{{- if $found -}}
{{- toYaml $found -}}
{{- end -}}
{{- end }}

{{/* Whether the operator has the rights on NetworkPolicies of hosts: "true" or "". */}}
{{- define "manyserve.hostPolicies" -}}
{{- if kindIs "bool" ((.Values.config.hosts).networkPolicy).enabled -}}
true
{{- end -}}
{{- end }}

{{/* The alerts of one file, with their runbooks; called with (dict "root" $ "file" "operator"). */}}
{{- define "manyserve.alerts" -}}
{{- $text := .root.Files.Get (printf "files/alerts/%s.yaml" .file) -}}
{{- $text = replace "OPERATOR_JOB" (include "manyserve.operator" .root) $text -}}
{{- $text = replace "WEBHOOK_JOB" (include "manyserve.webhook" .root) $text -}}
{{- $rules := replace "API_GROUP" (include "manyserve.group" .root) $text | fromYamlArray -}}
{{- range $rules -}}
{{- $url := printf "%s/%s.md" $.root.Values.monitoring.prometheusRule.runbookUrl .alert -}}
{{- $_ := set .annotations "runbook_url" $url -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}
