{{- define "goodgo.selector" -}}
app.kubernetes.io/name: goodgo-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "goodgo.labels" -}}
{{ include "goodgo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: goodgo
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "goodgo.image" -}}
{{ printf "%s:%s" .image.repository (default .version .image.tag) }}
{{- end }}

{{/* The configuration file: the values, and what only the chart knows. */}}
{{- define "goodgo.config" -}}
{{- $known := dict
  "runtimeImage" (include "goodgo.image" (dict "image" .Values.runtime.image "version" .Chart.AppVersion))
  "operator" (dict "namespace" .Release.Namespace "podLabels" (include "goodgo.selector" . | fromYaml)) }}
{{- if .Values.gateway.enabled }}
{{- if dig "gateway" "pods" dict .Values.config }}
{{- fail "config.gateway.pods names an existing Traefik and gateway.enabled brings another: set one of them" }}
{{- end }}
{{- $_ := set $known "gateway" (dict "pods" (dict "namespace" .Release.Namespace "podLabels" (include "goodgo.gateway.selector" . | fromYaml))) }}
{{- end }}
{{- merge (deepCopy .Values.config) $known | toYaml }}
{{- end }}

{{- define "goodgo.gateway.selector" -}}
app.kubernetes.io/name: traefik
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "goodgo.gateway.labels" -}}
{{ include "goodgo.gateway.selector" . }}
app.kubernetes.io/version: {{ .Values.gateway.image.tag | quote }}
app.kubernetes.io/component: gateway
app.kubernetes.io/part-of: goodgo
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
