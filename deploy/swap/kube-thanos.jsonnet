// The components of kube-thanos with our image: `config` is your own common configuration.
local thanos = import 'kube-thanos/thanos.libsonnet';

local config = {
  namespace: 'monitoring',
  version: 'v0.42.4',
  image: 'aion:0.1.0',
  imagePullPolicy: 'IfNotPresent',
  objectStorageConfig: { name: 'aion-bucket', key: 'objstore.yml' },
  volumeClaimTemplate: {
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '20Gi' } } },
  },
};

local store = thanos.store(config { replicas: 2, serviceMonitor: true });
local compact = thanos.compact(config { replicas: 1, serviceMonitor: true });
local query = thanos.query(config {
  replicas: 2,
  serviceMonitor: true,
  replicaLabels: ['prometheus_replica', 'rule_replica'],
  stores: ['dnssrv+_grpc._tcp.%s.%s.svc' % [store.service.metadata.name, store.service.metadata.namespace]],
});

{ ['store-' + name]: store[name] for name in std.objectFields(store) if store[name] != null } +
{ ['compact-' + name]: compact[name] for name in std.objectFields(compact) if compact[name] != null } +
{ ['query-' + name]: query[name] for name in std.objectFields(query) if query[name] != null }
