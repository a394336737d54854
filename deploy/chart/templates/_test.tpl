{{/* Parts of `helm test`. Its rights exist from the beginning of a test to its success, or to the next test. Its pod stays
to the next test, so that its log can be read. */}}

{{/* Annotations of an object of the test; called with its weight: objects of a lower weight come first. */}}
{{- define "manyserve.testHook" -}}
helm.sh/hook: test
helm.sh/hook-delete-policy: before-hook-creation{{ if ne . "0" }},hook-succeeded{{ end }}
helm.sh/hook-weight: {{ . | quote }}
{{- end }}

{{- define "manyserve.testDeployments" -}}
{{ include "manyserve.operator" . }}{{ if .Values.webhook.enabled }},{{ include "manyserve.webhook" . }}{{ end }}
{{- end }}

{{- define "manyserve.testNamespace" -}}
{{- (.Values.tests).namespace | default (first (default list (.Values.scope).namespaces)) | default .Release.Namespace -}}
{{- end }}

{{- define "manyserve.testTimeout" -}}
{{- (.Values.tests).timeoutSeconds | default 60 -}}
{{- end }}
