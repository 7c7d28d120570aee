{{- define "ap-mcp.selector" -}}
app.kubernetes.io/name: ap-mcp
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ap-mcp.labels" -}}
{{ include "ap-mcp.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "ap-mcp.host" -}}
{{ regexReplaceAll ":[0-9]+$" (urlParse .Values.publicUrl).host "" }}
{{- end }}
