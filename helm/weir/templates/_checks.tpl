{{- /* What the schema cannot say: combinations that would not work are refused, with what to do. */ -}}

{{- define "weir.check" -}}
{{- if and (gt (int (include "weir.server.replicas" .)) 1) (not .Values.usage.database.secretName) -}}
{{- fail "server.replicas: SQLite keeps usage for one server only, and two with a store each would count twice. Give a PostgreSQL database (usage.database.secretName), or set server.replicas to 1." -}}
{{- end -}}
{{- if and (eq .Values.xds.tls.mode "Secret") (not .Values.xds.tls.secretName) -}}
{{- fail "xds.tls.secretName: which Secret? With xds.tls.mode Secret, name one with tls.crt, tls.key and ca.crt." -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.prometheus) -}}
{{- fail "networkPolicy.prometheus: nobody may scrape what metrics.serviceMonitor asks for. Name Prometheus' pods, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]." -}}
{{- end -}}
{{- if hasKey .Values.edges .Values.edge.name -}}
{{- fail (printf "edges.%s: that is the name of `edge` itself; set it there, or choose another name." .Values.edge.name) -}}
{{- end -}}
{{- $owners := dict -}}
{{- range $name, $edge := include "weir.edges" . | fromYaml -}}
{{- include "weir.check.edge" (dict "name" $name "edge" $edge "writes" $.Values.server.writeStatus) -}}
{{- range $edge.gateways -}}
{{- if hasKey $owners . -}}
{{- fail (printf "edge %s: gateways: %q is listed by edge %s, too. Whose Gateway is it?" $name . (get $owners .)) -}}
{{- end -}}
{{- $_ := set $owners . $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "weir.check.edge" -}}
{{- $daemon := eq .edge.kind "DaemonSet" -}}
{{- if and $daemon .edge.autoscaling.enabled -}}
{{- fail (printf "edge %s: autoscaling: a DaemonSet runs once on each node; there is nothing to scale. Use kind StatefulSet, or turn it off." .name) -}}
{{- end -}}
{{- if and $daemon (eq .edge.state.kind "Claim") -}}
{{- fail (printf "edge %s: state.kind: a DaemonSet has no claim for each pod. Use HostPath or Ephemeral." .name) -}}
{{- end -}}
{{- if and (not $daemon) (eq .edge.state.kind "HostPath") -}}
{{- fail (printf "edge %s: state.kind: pods of a StatefulSet move between nodes, and two on one would share a directory. Use Claim or Ephemeral." .name) -}}
{{- end -}}
{{- if and .edge.service.enabled .edge.service.perGateway (not .edge.enabled) -}}
{{- fail (printf "edge %s: service.perGateway: its Services would lead to the chart's proxies, and there are none. Set enabled, or make the Services of your own proxies yourself." .name) -}}
{{- end -}}
{{- if and .edge.service.enabled .edge.service.perGateway (not .writes) -}}
{{- fail (printf "edge %s: service.perGateway: Services are made by the replica that writes status. Set server.writeStatus." .name) -}}
{{- end -}}
{{- if and .edge.hostNetwork (not .edge.nodesAllowLowPorts) -}}
{{- range .edge.ports -}}
{{- if lt (int .port) 1024 -}}
{{- fail (printf "edge %s: port %d: with hostNetwork a pod may not change the node's settings, and no process without root may bind it. Set net.ipv4.ip_unprivileged_port_start on the nodes and then nodesAllowLowPorts, or use ports from 1024 on, or hostPorts instead of hostNetwork." $.name (int .port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
