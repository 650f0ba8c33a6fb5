{{- /* The pod of an edge: of a dict `root`, `name`, `edge`, `state`, `daemon`. */ -}}
{{- define "weir.edge.pod" -}}
{{- $edge := .edge -}}
serviceAccountName: {{ include "weir.edge.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- if $edge.hostNetwork }}
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
{{- end }}
# Load balancers turn away, exchanges under way end, the last usage is reported.
terminationGracePeriodSeconds: {{ add (int $edge.preStopSeconds) (int $edge.drainSeconds) 15 }}
securityContext:
  {{- include "weir.pod.security" .root | nindent 2 }}
  {{- if and (not $edge.hostNetwork) (include "weir.edge.lowest" .) }}
  # Gateways' ports, without root and without a capability. It is of the pod's own network, and a safe sysctl.
  sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: {{ include "weir.edge.lowest" . | quote }}}]
  {{- end }}
{{- $place := dict "root" .root "settings" $edge "selector" (include "weir.edge.selector" .) "spread" (not .daemon) }}
{{- include "weir.pod.place" $place }}
{{- if and (eq .state "HostPath") $edge.state.prepareImage }}
initContainers:
  # A directory that the kubelet makes is root's; the proxy's user must write there.
  - name: prepare
    image: {{ $edge.state.prepareImage }}
    command: [chown, "65532:65532", /var/lib/weir]
    securityContext:
      runAsUser: 0
      runAsNonRoot: false
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL], add: [CHOWN]}
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
    volumeMounts: [{name: state, mountPath: /var/lib/weir}]
{{- end }}
containers:
  - name: proxy
    image: {{ include "weir.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: [proxy, --config, /etc/weir/proxy.yaml, --log-format, {{ .root.Values.log.format }}]
    env:
      - {name: WEIR_LOG, value: {{ .root.Values.log.level | quote }}}
      - name: WEIR_NODE_ID
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- with $edge.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      - {name: metrics, containerPort: 9902}
      {{- range $edge.ports }}
      - name: {{ .name }}
        containerPort: {{ int .port }}
        protocol: {{ default "TCP" .protocol }}
        {{- if and $.daemon $edge.hostPorts (not $edge.hostNetwork) }}
        hostPort: {{ int .port }}
        {{- end }}
      {{- end }}
    # Alive is who takes connections: one that waits for a first configuration is not helped by a new start.
    livenessProbe: {tcpSocket: {port: metrics}, periodSeconds: 10, failureThreshold: 6}
    readinessProbe: {httpGet: {path: /ready, port: metrics}, periodSeconds: 5, timeoutSeconds: 5}
    {{- if gt (int $edge.preStopSeconds) 0 }}
    lifecycle:
      # It serves on, and stays ready, while load balancers hear that it goes; SIGTERM then drains.
      preStop: {sleep: {seconds: {{ int $edge.preStopSeconds }}}}
    {{- end }}
    securityContext: {{- include "weir.container.security" .root | nindent 6 }}
    resources: {{- toYaml $edge.resources | nindent 6 }}
    volumeMounts:
      - {name: config, mountPath: /etc/weir/proxy.yaml, subPath: proxy.yaml, readOnly: true}
      - {name: ca, mountPath: /etc/weir/ca, readOnly: true}
      - {name: token, mountPath: /var/run/secrets/weir.dev, readOnly: true}
      - {name: state, mountPath: /var/lib/weir}
      - {name: keys, mountPath: /run/weir}
volumes:
  - name: config
    configMap: {name: {{ include "weir.edge.name" . }}}
  - name: ca
    {{- $tls := .root.Values.xds.tls }}
    {{- if or $tls.caConfigMap (eq $tls.mode "SelfSigned") }}
    configMap:
      name: {{ default (printf "%s-xds-ca" (include "weir.fullname" .root)) $tls.caConfigMap }}
      items: [{key: ca.crt, path: ca.crt}]
    {{- else }}
    # The authority alone: the server's key is not among the files.
    secret:
      secretName: {{ include "weir.xds.secret" .root }}
      items: [{key: ca.crt, path: ca.crt}]
    {{- end }}
  - name: token
    projected:
      sources:
        - serviceAccountToken:
            audience: {{ .root.Values.xds.audience | quote }}
            expirationSeconds: {{ int .root.Values.xds.tokenSeconds }}
            path: token
  # Customers' TLS keys, so that HTTPS starts without a server too: in memory, never on a disk.
  - name: keys
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
  {{- if eq .state "HostPath" }}
  - name: state
    hostPath: {path: {{ $edge.state.hostPath }}/{{ .root.Release.Namespace }}-{{ include "weir.edge.name" . }}, type: DirectoryOrCreate}
  {{- else if or .daemon (eq .state "Ephemeral") }}
  - name: state
    emptyDir: {sizeLimit: {{ $edge.state.size }}}
  {{- end }}
{{- end -}}

{{- /* The lowest port, if it is one that needs leave. */ -}}
{{- define "weir.edge.lowest" -}}
{{- $lowest := 1024 -}}
{{- range .edge.ports -}}{{- $lowest = min $lowest (int .port) -}}{{- end -}}
{{- if lt (int $lowest) 1024 -}}{{ $lowest }}{{- end -}}
{{- end -}}
