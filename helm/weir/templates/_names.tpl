{{- /* Names, labels, image: what every template uses. */ -}}

{{- define "weir.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What selectors hold: it never changes, since a StatefulSet's may not. */ -}}
{{- define "weir.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "weir.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: weir
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{ include "weir.selector" . }}
{{- end -}}

{{- define "weir.server.name" -}}
{{ include "weir.fullname" . }}-server
{{- end -}}

{{- define "weir.server.selector" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- /* Of a dict `root`, `name`: an edge's objects are called <fullname>-<edge>. */ -}}
{{- define "weir.edge.name" -}}
{{ include "weir.fullname" .root }}-{{ .name }}
{{- end -}}

{{- define "weir.edge.selector" -}}
{{ include "weir.selector" .root }}
app.kubernetes.io/component: edge
weir.dev/edge: {{ .name }}
{{- end -}}

{{- /* Every edge by name, each with all its settings: those of `edge`, and its own over them. */ -}}
{{- define "weir.edges" -}}
{{- $edges := dict .Values.edge.name (deepCopy .Values.edge) -}}
{{- range $name, $own := .Values.edges -}}
{{- $_ := set $edges $name (mergeOverwrite (deepCopy $.Values.edge) (deepCopy $own) (dict "name" $name)) -}}
{{- end -}}
{{- toYaml $edges -}}
{{- end -}}

{{- /* Whether some edge's Gateways have Services of their own: "true", or nothing. */ -}}
{{- define "weir.perGateway" -}}
{{- range $name, $edge := include "weir.edges" . | fromYaml -}}
{{- if and $edge.service.enabled $edge.service.perGateway -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "weir.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* Replicas of the server: two need a database that both reach. */ -}}
{{- define "weir.server.replicas" -}}
{{- if kindIs "invalid" .Values.server.replicas -}}
{{ ternary 2 1 (ne .Values.usage.database.secretName "") }}
{{- else -}}
{{ .Values.server.replicas }}
{{- end -}}
{{- end -}}

{{- define "weir.xds.secret" -}}
{{ default (printf "%s-xds-tls" (include "weir.fullname" .)) .Values.xds.tls.secretName }}
{{- end -}}

{{- /* The name by which proxies reach the server, and which its certificate has. */ -}}
{{- define "weir.xds.host" -}}
{{ include "weir.server.name" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "weir.xds.names" -}}
- {{ include "weir.server.name" . }}
- {{ include "weir.server.name" . }}.{{ .Release.Namespace }}
- {{ include "weir.xds.host" . }}
- {{ include "weir.xds.host" . }}.cluster.local
{{- end -}}
