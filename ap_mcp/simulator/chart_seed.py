"""The charts and releases that the seed account begins with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.constants import PAYMENTS_PROD, SEARCH_DEV, SHOP_PROD

PAYMENTS_API_OLD = "2b6f0d18-7a31-11ef-9b40-0255ac100c01"
PAYMENTS_API = "3c8e51a4-8c52-11ef-a7d2-0255ac100c02"
REDIS = "4d90b7e2-6e18-11ef-8f53-0255ac100c03"
SEARCH_API = "5ea3c9f6-9170-11ef-b0c8-0255ac100c04"

_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {app: {{ .Release.Name }}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
    spec:
      containers:
        - name: main
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
          ports: [{containerPort: {{ .Values.service.port }}}]
          resources: {{ toJson .Values.resources }}
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{port: {{ .Values.service.port }}}]
"""
_STATEFUL_SET = """\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ .Release.Name }}
spec:
  serviceName: {{ .Release.Name }}
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {app: {{ .Release.Name }}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
    spec:
      containers:
        - name: redis
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
          ports: [{containerPort: {{ .Values.service.port }}}]
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: {{ .Values.persistence.storageClass }}
        resources: {requests: {storage: {{ .Values.persistence.size }}}}
"""
_MIGRATION = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-migrate
  annotations:
    "helm.sh/hook": pre-install,pre-upgrade
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: migrate
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
          args: [migrate, --host, "{{ .Values.database.host }}"]
"""
_PAYMENTS_SCHEMA = """\
{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "required": ["image", "replicas", "database"],
  "properties": {
    "replicas": {"type": "integer", "minimum": 1, "maximum": 50},
    "image": {"type": "object", "required": ["repository", "tag"], "properties": {"tag": {"type": "string"}}},
    "service": {"type": "object", "properties": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}}},
    "database": {"type": "object", "required": ["host"], "properties": {"host": {"type": "string"}}}
  }
}
"""


def _chart_yaml(name: str, version: str, description: str) -> str:
    return f'apiVersion: v2\nname: {name}\nversion: {version}\ndescription: {description}\nappVersion: "{version}"\n'


def _payments_api(version: str) -> bytes:
    values = f"""\
replicas: 3
image:
  repository: swr.ap-southeast-1.myhuaweicloud.com/shop/payments-api
  tag: "{version}"
service:
  port: 8080
database:
  host: payments-db.internal.example
  user: payments
  password: ""
resources:
  requests: {{cpu: 500m, memory: 1Gi}}
  limits: {{cpu: "1", memory: 2Gi}}
"""
    files = {
        "Chart.yaml": _chart_yaml("payments-api", version, "Takes card and wallet payments"),
        "values.yaml": values,
        "values.schema.json": _PAYMENTS_SCHEMA,
        "README.md": "# payments-api\n\nSet `database.password` when installing.\n",
        "templates/deployment.yaml": _DEPLOYMENT,
        "templates/service.yaml": _SERVICE,
        "templates/migrate.yaml": _MIGRATION,
    }
    return build_chart("payments-api", files)


def _redis() -> bytes:
    values = """\
replicas: 1
image: {repository: swr.ap-southeast-1.myhuaweicloud.com/library/redis, tag: "7.2.5"}
service: {port: 6379}
auth: {enabled: true, password: ""}
persistence: {size: 8Gi, storageClass: csi-disk}
resources: {}
"""
    files = {
        "Chart.yaml": _chart_yaml("redis", "18.6.1", "Key-value store with one volume per replica"),
        "values.yaml": values,
        "README.md": "# redis\n",
        "templates/statefulset.yaml": _STATEFUL_SET,
        "templates/service.yaml": _SERVICE,
    }
    return build_chart("redis", files)


def _search_api() -> bytes:
    values = """\
replicas: 2
image: {repository: swr.ap-southeast-1.myhuaweicloud.com/shop/search-api, tag: "0.9.3"}
service: {port: 9000}
index: {name: products, shards: 3}
resources: {requests: {cpu: 250m, memory: 512Mi}}
"""
    files = {
        "Chart.yaml": _chart_yaml("search-api", "0.9.3", "Full-text search over the product catalogue"),
        "values.yaml": values,
        "templates/deployment.yaml": _DEPLOYMENT,
        "templates/service.yaml": _SERVICE,
    }
    return build_chart("search-api", files)


@dataclass(frozen=True, slots=True)
class StoredChart:
    """A chart of the seed account."""

    id: str
    created: str
    archive: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a seed release; `days` ago it came to be."""

    days: float
    chart_version: str
    description: str
    status: str = "DEPLOYED"
    overrides: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release of the seed account with its whole history, oldest first."""

    cluster_id: str
    namespace: str
    name: str
    chart_id: str
    revisions: tuple[Revision, ...]


STORED_CHARTS = (
    StoredChart(REDIS, "2024-08-30T06:20:11Z", _redis()),
    StoredChart(PAYMENTS_API_OLD, "2024-09-14T02:41:37Z", _payments_api("1.8.2")),
    StoredChart(PAYMENTS_API, "2024-10-07T07:05:52Z", _payments_api("1.9.0")),
    StoredChart(SEARCH_API, "2024-10-13T12:33:09Z", _search_api()),
)

_PULL_FAILED = (
    "timed out waiting for the condition: 1 of 2 pods of search-api: ImagePullBackOff, tag 0.9.4-rc1 not found"
)
_HOOK_FAILED = "pre-upgrade hooks failed: job payments-api-migrate: no route to payments-db-2.internal.example"
_DATABASE = {"password": "S1mulated-db-passw0rd"}
_MOVED_DATABASE = {**_DATABASE, "host": "payments-db-2.internal.example"}

STORED_RELEASES = (
    StoredRelease(
        PAYMENTS_PROD,
        "payments",
        "payments-api",
        PAYMENTS_API,
        (
            Revision(190, "1.8.2", "Install complete", overrides={"database": _DATABASE}),
            Revision(96, "1.8.2", "Upgrade complete", overrides={"replicas": 6, "database": _DATABASE}),
            Revision(13, "1.9.0", _HOOK_FAILED, "FAILED", {"replicas": 6, "database": _MOVED_DATABASE}),
            Revision(12.9, "1.8.2", "Rollback to 2", overrides={"replicas": 6, "database": _DATABASE}),
            Revision(12, "1.9.0", "Upgrade complete", overrides={"replicas": 6, "database": _DATABASE}),
        ),
    ),
    StoredRelease(
        PAYMENTS_PROD,
        "payments",
        "sessions-redis",
        REDIS,
        (Revision(188, "18.6.1", "Install complete", overrides={"auth": {"password": "S1mulated-redis-passw0rd"}}),),
    ),
    StoredRelease(
        SEARCH_DEV,
        "search",
        "search-api",
        SEARCH_API,
        (
            Revision(40, "0.9.3", "Install complete"),
            Revision(2, "0.9.3", _PULL_FAILED, "FAILED", {"image": {"tag": "0.9.4-rc1"}}),
        ),
    ),
    StoredRelease(
        SEARCH_DEV,
        "default",
        "query-cache",
        REDIS,
        (Revision(33, "18.6.1", "Install complete", overrides={"persistence": {"size": "4Gi"}}),),
    ),
    StoredRelease(
        SHOP_PROD,
        "shop",
        "catalog-search",
        SEARCH_API,
        (
            Revision(118, "0.9.3", "Install complete"),
            Revision(41 / 1440, "0.9.3", "Upgrade complete", overrides={"image": {"tag": "0.9.5"}}),
        ),
    ),
)
