"""The objects of a release, in each form that the service may have them in."""

import json
from typing import Any

import pytest

from ap_mcp.rules.release_objects import release_objects

KUBECTL = """\
==> v1/Service
NAME        TYPE       CLUSTER-IP  EXTERNAL-IP  PORT(S)   AGE
shop-api    ClusterIP  10.1.2.3    <none>       80/TCP    5d
shop-redis  ClusterIP  10.1.2.4    <none>       6379/TCP  5d

==> apps/v1/Deployment
NAME      READY  UP-TO-DATE  AVAILABLE  AGE
shop-api  2/2    2           2          5d

==> v1/Pod(related)
NAME            READY  STATUS   RESTARTS  AGE
shop-api-a1b2c  1/1    Running  0         5d
"""
MANIFEST = """\
---
# Source: shop/templates/service.yaml
apiVersion: v1
kind: Service
metadata:
  labels: {app: shop}
  name: "shop-api"
spec:
  ports:
  - name: http
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop-api
spec:
  template:
    metadata:
      name: inner
"""
OBJECTS = [
    {"kind": "Service", "metadata": {"name": "shop-api"}},
    {"kind": "Deployment", "metadata": {"name": "shop-api", "namespace": "default"}},
]
BOTH = ["Service shop-api", "Deployment shop-api"]


@pytest.mark.parametrize(
    ("resources", "lines"),
    [
        (KUBECTL, ["Service shop-api, shop-redis", "Deployment shop-api", "Pod shop-api-a1b2c"]),
        (MANIFEST, BOTH),
        (OBJECTS, BOTH),
        (json.dumps(OBJECTS), BOTH),
        (json.dumps({"items": OBJECTS}), BOTH),
        ({"Service": ["shop-api"], "Deployment": [{"name": "shop-api"}]}, BOTH),
        ('{"Service": [{"metadata": {"name": "a b"}}]}', ['Service "a b"']),
    ],
)
def test_objects_are_read_in_every_form(resources: Any, lines: list[str]) -> None:
    found = release_objects(resources)
    assert found is not None
    assert found.lines == lines


@pytest.mark.parametrize(
    "resources", [None, "", "{}", "[]", 7, "unknown", "==> v1/Service\n", "kind: Service\n", {"a": 1}]
)
def test_what_is_not_reported_is_not_known(resources: Any) -> None:
    assert release_objects(resources) is None
