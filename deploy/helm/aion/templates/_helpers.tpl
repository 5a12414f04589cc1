{{/* `aion` where the release is called so, else `release-aion`. */}}
{{- define "aion.name" -}}
{{- if contains "aion" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-aion" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels that never change. Takes root and component. */}}
{{- define "aion.selector" -}}
app.kubernetes.io/name: aion
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .shard }}
aion/shard: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "aion.labels" -}}
{{ include "aion.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: aion
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/*
The pod of a component. Takes root, component, values, args, httpPort, grpc (whether it has gRPC), bucket (whether it needs
one), data (whether it has a volume), config (a config map, mounted at /etc/aion/config), and grace in seconds.
*/}}
{{- define "aion.pod" -}}
metadata:
  labels: {{- include "aion.labels" . | nindent 4 }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ .httpPort | quote }}
    {{- with .checksum }}
    checksum/config: {{ . }}
    {{- end }}
    {{- with .root.Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "aion.name" .root }}{{ if eq .component "server" }}-server{{ end }}
  automountServiceAccountToken: {{ eq .component "server" }}
  terminationGracePeriodSeconds: {{ .grace }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "aion.selector" . | nindent 10 }}
  containers:
    - name: {{ .component }}
      image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        {{- range concat .args (list (printf "--log.format=%s" .root.Values.logFormat)) .values.args }}
        - {{ . | quote }}
        {{- end }}
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- with .root.Values.env }}{{ toYaml . | nindent 8 }}{{ end }}
      ports:
        - {name: http, containerPort: {{ .httpPort }}}
        {{- if .grpc }}
        - {name: grpc, containerPort: 10901}
        {{- end }}
      # Reading a long log or a large bucket takes its time; the probe that kills waits for it.
      startupProbe:
        httpGet: {path: /-/healthy, port: http}
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /-/healthy, port: http}
        periodSeconds: 30
        timeoutSeconds: 5
        failureThreshold: 8
      readinessProbe:
        httpGet: {path: /-/ready, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      resources: {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        {{- if .data }}
        - {name: data, mountPath: /var/lib/aion}
        {{- end }}
        {{- if .bucket }}
        - {name: bucket, mountPath: /etc/aion/bucket, readOnly: true}
        {{- end }}
        {{- if .config }}
        - {name: config, mountPath: /etc/aion/config, readOnly: true}
        {{- end }}
  volumes:
    {{- if .bucket }}
    - name: bucket
      secret: {secretName: {{ .root.Values.objstore.secret }}}
    {{- end }}
    {{- if .config }}
    - name: config
      configMap: {name: {{ .config }}}
    {{- end }}
    {{- if and .data (not .values.persistence) }}
    - name: data
      emptyDir: {}
    {{- end }}
{{- end }}

{{/* A StatefulSet. Takes what the pod takes, and name. */}}
{{- define "aion.statefulset" -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ .name }}
  labels: {{- include "aion.labels" . | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .values) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  serviceName: {{ .name }}
  podManagementPolicy: Parallel
  selector:
    matchLabels: {{- include "aion.selector" . | nindent 6 }}
  template: {{- include "aion.pod" . | nindent 4 }}
  {{- with .values.persistence }}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ .size }}}}
  {{- end }}
{{ include "aion.around" . }}
{{- end }}

{{/* What every component has: its service, budget, scaling. Takes what the pod takes, name, kind. */}}
{{- define "aion.around" }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  labels: {{- include "aion.labels" . | nindent 4 }}
spec:
  {{- if .headless }}
  clusterIP: None
  # Who finds the addresses by DNS sees which of them answer.
  publishNotReadyAddresses: false
  {{- end }}
  selector: {{- include "aion.selector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .httpPort }}, targetPort: http}
    {{- if .grpc }}
    - {name: grpc, port: 10901, targetPort: grpc}
    {{- end }}
{{- if .root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- include "aion.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "aion.selector" . | nindent 6 }}
{{- end }}
{{- with .values.autoscaling }}
{{- if .enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $.name }}
  labels: {{- include "aion.labels" $ | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ $.kind | default "StatefulSet" }}, name: {{ $.name }}}
  minReplicas: {{ .min }}
  maxReplicas: {{ .max }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .cpuPercent }}}
{{- end }}
{{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  labels: {{- include "aion.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "aion.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: aion
              app.kubernetes.io/instance: {{ .root.Release.Name }}
        {{- with .root.Values.networkPolicy.from }}{{ toYaml . | nindent 8 }}{{ end }}
    {{- if not .root.Values.networkPolicy.from }}
    - ports: [{port: http, protocol: TCP}]
    {{- end }}
{{- end }}
{{- if .root.Values.serviceMonitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ .name }}
  labels:
    {{- include "aion.labels" . | nindent 4 }}
    {{- with .root.Values.serviceMonitor.labels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  selector:
    matchLabels: {{- include "aion.selector" . | nindent 6 }}
  endpoints:
    - port: http
      interval: {{ .root.Values.serviceMonitor.interval }}
      # The dashboards and alerts find the components by their job.
      relabelings:
        - {targetLabel: job, replacement: aion-{{ .component }}}
{{- end }}
{{- end }}

{{/* Fails where there is no bucket. */}}
{{- define "aion.bucketFlag" -}}
{{- $_ := required "objstore.secret: name the secret that has the bucket's configuration" .Values.objstore.secret -}}
--objstore.config-file=/etc/aion/bucket/{{ .Values.objstore.key }}
{{- end }}
