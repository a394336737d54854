{{/* Names, labels and the parts that the two programs share. */}}

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

{{/* The Secret with the webhook's certificate, whoever issues it. */}}
{{- define "manyserve.certificate" -}}
{{- default (printf "%s-certificate" (include "manyserve.webhook" .)) .Values.webhook.certificate.existingSecret -}}
{{- end }}

{{/* Who issues the webhook's certificate: "self", or "" when somebody else does and it is mounted. */}}
{{- define "manyserve.selfIssued" -}}
{{- if not (or .Values.webhook.certificate.existingSecret .Values.webhook.certificate.certManager.enabled) -}}
self
{{- end -}}
{{- end }}

{{- define "manyserve.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* Labels of one component; called with (dict "root" $ "component" "webhook"). */}}
{{- define "manyserve.labels" -}}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: manyserve
{{ include "manyserve.selector" . }}
{{- end }}

{{- define "manyserve.selector" -}}
app.kubernetes.io/name: {{ include "manyserve.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* What a pod needs to be let into a namespace that enforces Pod Security "restricted". */}}
{{- define "manyserve.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "manyserve.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Where a pod runs; called with the component's values. */}}
{{- define "manyserve.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A CustomResourceDefinition from files/, kept at uninstall; called with (dict "root" $ "file" "..."). */}}
{{- define "manyserve.crd" -}}
{{- $crd := .root.Files.Get (printf "files/%s" .file) | fromYaml -}}
{{- $labels := include "manyserve.labels" (dict "root" .root "component" "crds") | fromYaml -}}
{{- $annotations := dict "helm.sh/resource-policy" "keep" -}}
{{- $metadata := merge (dict "labels" $labels "annotations" $annotations) $crd.metadata -}}
{{- merge (dict "metadata" $metadata) $crd | toYaml -}}
{{- end }}

{{/* What both programs may reach: the API server and DNS. */}}
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

{{/* The scope as the programs read it. */}}
{{- define "manyserve.scope" -}}
{{- if .Values.scope.namespaces -}}
- name: MANYSERVE_WATCH_NAMESPACES
  value: {{ join "," .Values.scope.namespaces | quote }}
{{- else if .Values.scope.namespaceSelector -}}
- name: MANYSERVE_NAMESPACE_SELECTOR
  value: {{ toJson .Values.scope.namespaceSelector | quote }}
{{- end -}}
{{- end }}

{{/* The namespaces of which the webhook is asked, as matchExpressions: the scope and webhook.namespaceSelector, both. */}}
{{- define "manyserve.askedNamespaces" -}}
{{- $found := list -}}
{{- with .Values.scope.namespaces -}}
{{- $found = append $found (dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" .) -}}
{{- end -}}
{{- range list .Values.scope.namespaceSelector .Values.webhook.namespaceSelector -}}
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
