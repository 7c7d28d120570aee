"""The calls whose throughput is measured over HTTP."""

from http_client import Call

from ap_mcp.simulator.constants import PAYMENTS_PROD

QUOTAS, CLUSTERS = Call("get_quotas"), Call("list_clusters")
CLUSTER, SLOW = Call("get_cluster", {"cluster_id": PAYMENTS_PROD}), Call("get_chart_quota", is_slow=True)
EVERY = (QUOTAS, CLUSTERS, CLUSTER, SLOW)
SLOW_SECONDS = 1.0
"""How long a slow call waits for the cloud."""
MIXED = [*[QUOTAS, CLUSTERS, QUOTAS, CLUSTER, CLUSTERS] * 20, SLOW]
MIX = "mixed, 1 % slow"
KINDS = {"get_quotas": [QUOTAS], "list_clusters": [CLUSTERS], "get_cluster": [CLUSTER], MIX: MIXED}
"""What is called, by a name for it: of the mixed calls, one in a hundred is slow."""
HELD = ("get_quotas", MIX)
"""Those whose throughput is promised."""
