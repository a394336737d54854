{{/* Parts of the programs' pods: images, accounts, security contexts and scheduling. */}}

{{- define "manyserve.image" -}}
{{- $reference := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- if .Values.image.digest -}}
{{- $reference = printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- end -}}
{{- include "manyserve.registered" (dict "root" . "image" $reference) -}}
{{- end }}

{{/* An image in the registry of global.imageRegistry; called with (dict "root" $ "image" "..."). The first part of an
image's name is a registry if it has a dot or a port, or is localhost. */}}
{{- define "manyserve.registered" -}}
{{- $registry := (.root.Values.global).imageRegistry -}}
{{- if $registry -}}
{{- printf "%s/%s" $registry (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" .image "") -}}
{{- else -}}
{{- .image -}}
{{- end -}}
{{- end }}

{{/* Pull secrets as YAML, without duplicates; called with a list of names and of {name: ...}. */}}
{{- define "manyserve.uniqueSecrets" -}}
{{- $found := list -}}
{{- range . -}}
{{- $found = append $found (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- if $found -}}
{{- uniq $found | toYaml -}}
{{- end -}}
{{- end }}

{{- define "manyserve.pullSecrets" -}}
{{- include "manyserve.uniqueSecrets" (concat (default list (.Values.global).imagePullSecrets) (default list .Values.imagePullSecrets)) -}}
{{- end }}

{{/* The name of a program's ServiceAccount; called with (dict "root" $ "component" "webhook"). */}}
{{- define "manyserve.account" -}}
{{- $values := (index .root.Values .component).serviceAccount -}}
{{- default (include (printf "manyserve.%s" .component) .root) ($values).name -}}
{{- end }}

{{/* Whether the release makes a program's ServiceAccount: "true" or ""; called with the component's values. */}}
{{- define "manyserve.createsAccount" -}}
{{- if ne (toString (.serviceAccount).create) "false" -}}
true
{{- end -}}
{{- end }}

{{- define "manyserve.webhookPort" -}}
{{- default 9443 .Values.webhook.port -}}
{{- end }}

{{- define "manyserve.webhookMetricsPort" -}}
{{- default 9090 .Values.webhook.metricsPort -}}
{{- end }}

{{- define "manyserve.historyLimit" -}}
revisionHistoryLimit: {{ ternary 10 .Values.revisionHistoryLimit (kindIs "invalid" .Values.revisionHistoryLimit) }}
{{- end }}

{{/* The strategy of a Deployment; called with the component's values. A second pod in the network of a node has no free
port there, so with hostNetwork the old pod ends first. */}}
{{- define "manyserve.strategy" -}}
{{- if .strategy -}}
{{- toYaml .strategy -}}
{{- else if .hostNetwork -}}
rollingUpdate:
  maxUnavailable: 1
  maxSurge: 0
{{- else -}}
rollingUpdate:
  maxUnavailable: 0
  maxSurge: 1
{{- end -}}
{{- end }}

{{/* The spread of a program's pods; called with (dict "root" $ "component" "webhook"). */}}
{{- define "manyserve.spread" -}}
{{- $zones := dict "maxSkew" 1 "topologyKey" "topology.kubernetes.io/zone" "whenUnsatisfiable" "ScheduleAnyway" -}}
{{- $selector := dict "matchLabels" (include "manyserve.selector" . | fromYaml) -}}
{{- $found := list -}}
{{- range default (list $zones) (index .root.Values .component).topologySpreadConstraints -}}
{{- $found = append $found (merge (deepCopy .) (dict "labelSelector" $selector)) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{/* The security contexts of Pod Security "restricted", and over them those of the values. */}}
{{- define "manyserve.podSecurity" -}}
{{- $restricted := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- include "manyserve.overridden" (dict "base" $restricted "values" .Values.podSecurityContext) -}}
{{- end }}

{{- define "manyserve.containerSecurity" -}}
{{- $restricted := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "runAsNonRoot" true -}}
{{- $_ := set $restricted "capabilities" (dict "drop" (list "ALL")) -}}
{{- $_ := set $restricted "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- include "manyserve.overridden" (dict "base" $restricted "values" .Values.securityContext) -}}
{{- end }}

{{/* A map with the keys of another one over its own, as YAML; a null leaves its key out. Sprig's functions for this
keep the old value under false, 0 and null. */}}
{{- define "manyserve.overridden" -}}
{{- $found := .base -}}
{{- range $key, $value := .values -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $found $key -}}
{{- else -}}
{{- $_ := set $found $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{/* Scheduling of a pod; called with the component's values. */}}
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
