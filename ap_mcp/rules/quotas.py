"""What the rows of quotas are about."""

from typing import Any

from ap_mcp.vendor import get, text

CLUSTERS, CHARTS = "clusters", "charts"
_NAMES = {"cluster": CLUSTERS, "autopilot_cluster": CLUSTERS}


def quota_name(row: Any) -> str:
    """Return what a row of get_quotas limits; as the service calls it if it is not clusters."""
    key = text(get(row, "/quotaKey"))
    return _NAMES.get(key.lower(), key)


def is_of_charts(row: Any) -> bool:
    """Say whether a row of get_chart_quota is that of charts; one that names nothing else is."""
    return text(get(row, "/type")).lower() in ("", CHARTS)
