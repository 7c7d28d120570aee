"""Gathers every subject: importing this module registers all handlers and reactions."""

from collections.abc import Callable

from ap_mcp.simulator import (
    addons,
    charts,
    clusters,
    configuration,
    iam,
    job_records,
    maintenance,
    releases,
    tags_quotas,
    upgrades,
)
from ap_mcp.simulator.kubernetes import service
from ap_mcp.simulator.registry import handler_of
from ap_mcp.simulator.world import World

__all__ = ["INSIDE", "SEEDS", "SUBJECTS", "handler_of"]

SUBJECTS = (clusters, configuration, job_records, addons, upgrades, maintenance, charts, releases, tags_quotas)

INSIDE = service
"""What happens inside clusters: a kept world may catch up with it before any cluster is asked."""

SEEDS: tuple[Callable[[World], None], ...] = (
    iam.seed_iam,
    clusters.seed_clusters,
    addons.seed_addons,
    upgrades.seed_upgrades,
    charts.seed_charts,
    releases.seed_releases,
    maintenance.seed_maintenance,
    configuration.seed_configuration,
)
"""What fills a new world, in an order in which each finds what it refers to."""
