"""The clusters a simulated account starts with: healthy, old, busy, failed, and an empty one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from ap_mcp.simulator.cluster_rows import Blueprint, Network, creation_steps, make_available, new_row
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    CLUSTER_NAMES,
    FULL_SUBNET_ID,
    HOST_SUBNET_ID,
    LEGACY_IMPORT,
    ML_BATCH,
    PAYMENTS_PROD,
    SEARCH_DEV,
    SHOP_PROD,
    SUBNET_IDS,
    TEAM_SANDBOX,
    VPC_ID,
)
from ap_mcp.simulator.lifecycle import FAILED, SUCCESS, start_job
from ap_mcp.simulator.world import Row, World

PROTECTED = "load balancer payments-public has deletion protection; switch that off first"
BEFORE_CONTROL_PLANE = 4
"""Steps that prepare the network, the last of which finds addresses for the pods."""
NO_ADDRESS = f"subnet {FULL_SUBNET_ID} has no free IP address; add a larger subnet to the VPC and use that one"


@dataclass(frozen=True, slots=True)
class Seed:
    """A cluster of the account before any request."""

    uid: str
    version: str
    days: float
    description: str
    tags: Mapping[str, str]
    subnets: tuple[str, ...] = SUBNET_IDS
    alias: str = ""
    upgraded_from: str = ""
    stuck: Mapping[str, str] = field(default_factory=dict)


RUNNING = (
    Seed(SHOP_PROD, "v1.28.6-r0", 412, "Online shop, production", {"env": "prod", "team": "shop"}),
    Seed(
        PAYMENTS_PROD,
        "v1.30.4-r2",
        233,
        "Card payments",
        {"env": "prod", "team": "payments"},
        SUBNET_IDS[:2],
        alias="payments",
        upgraded_from="v1.29.8-r0",
        stuck={"delete_net": PROTECTED},
    ),
    Seed(CHECKOUT_STAGING, "v1.29.8-r0", 181, "Rehearsals of the checkout", {"env": "staging", "team": "checkout"}),
    Seed(SEARCH_DEV, "v1.30.4-r2", 95, "Search experiments", {"env": "dev", "team": "search"}, SUBNET_IDS[1:2]),
    Seed(TEAM_SANDBOX, "v1.31.6-r0", 2, "", {}, SUBNET_IDS[2:]),
)
BUSY = Seed(ML_BATCH, "v1.31.6-r0", 70 / 86400, "Nightly training runs", {"env": "dev", "team": "ml"}, SUBNET_IDS[:1])
BROKEN = Seed(LEGACY_IMPORT, "v1.29.13-r0", 3, "Import of the old catalogue", {"team": "shop"}, (FULL_SUBNET_ID,))


def seed_clusters(world: World) -> None:
    """Put the clusters of the simulated account into an empty world."""
    for seed in RUNNING:
        make_available(_plant(world, seed))
    _being_created(world)
    _failed(world)


def _plant(world: World, seed: Seed) -> Row:
    plan = Blueprint(
        name=CLUSTER_NAMES[seed.uid],
        version=seed.version,
        network=Network(VPC_ID, HOST_SUBNET_ID, seed.subnets),
        alias=seed.alias,
        description=seed.description,
        tags=seed.tags,
        enable_swr=True,
    )
    row = new_row(world, plan, uid=seed.uid, created=world.now() - timedelta(days=seed.days))
    row["spec"]["extendParam"]["upgradefrom"] = seed.upgraded_from
    row["_stuck"] = dict(seed.stuck)
    return row


def _being_created(world: World) -> None:
    """Add a cluster whose network is ready and whose control plane is being installed."""
    row = _plant(world, BUSY)
    job = _creation(world, row)
    for leaf in _leaves(job)[:BEFORE_CONTROL_PLANE]:
        _end(world, leaf, SUCCESS, 65)
    _end(world, job["spec"]["subJobs"][0], SUCCESS, 30)
    row["status"] = {"phase": "Creating", "jobID": job["metadata"]["uid"]}


def _failed(world: World) -> None:
    """Add a cluster whose creation failed three days ago."""
    row = _plant(world, BROKEN)
    ended = int(BROKEN.days * 86400) - 60
    job = _creation(world, row)
    *done, failing = _leaves(job)[:BEFORE_CONTROL_PLANE]
    for leaf in done:
        _end(world, leaf, SUCCESS, ended)
    _end(world, failing, FAILED, ended, NO_ADDRESS)
    for part in (job["spec"]["subJobs"][0], job):
        _end(world, part, FAILED, ended, NO_ADDRESS)
    row["status"] = {
        "phase": "Error",
        "jobID": job["metadata"]["uid"],
        "reason": "CreateFailed",
        "message": f"The cluster could not be created. ({NO_ADDRESS})",
    }


def _creation(world: World, row: Row) -> Row:
    uid = row["metadata"]["uid"]
    job_id = start_job(
        world,
        "CreateCluster",
        row,
        creation_steps(row, enable_snat=True, enable_swr=True),
        on_success="cluster.created",
        on_failure="cluster.not_created",
        payload={"cluster_id": uid},
    )
    job = world.table("jobs")[job_id]
    for part in _parts(job):
        part["metadata"] |= dict.fromkeys(
            ("creationTimestamp", "updateTimestamp"), row["metadata"]["creationTimestamp"]
        )
    return job


def _parts(job: Row) -> Iterator[Row]:
    yield job
    for child in job["spec"].get("subJobs", []):
        yield from _parts(child)


def _leaves(job: Row) -> list[Row]:
    return [part for part in _parts(job) if not part["spec"].get("subJobs")]


def _end(world: World, job: Row, phase: str, seconds_ago: int, reason: str = "") -> None:
    job["status"] = {"phase": phase, "reason": reason}
    job["metadata"]["updateTimestamp"] = world.timestamp(world.now() - timedelta(seconds=seconds_ago))
