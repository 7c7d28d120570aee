"""Stored charts: uploaded archives that are really unpacked, verified and kept."""

import base64
from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.archives import BadArchive, ChartArchive, as_json, read_chart
from ap_mcp.simulator.chart_seed import STORED_CHARTS
from ap_mcp.simulator.registry import Answer, SimulatedError, SimulatedRequest, fetch, handles, invalid
from ap_mcp.simulator.world import Row, World
from ap_mcp.specs import FILE

SERVICE = "02"
QUOTA = 200


def seed_charts(world: World) -> None:
    """Store the archives of the seed account."""
    set_chart_quota(world, QUOTA)
    for stored in STORED_CHARTS:
        row = {**_new_row(world, stored.id), **_content_of(read_chart(stored.archive), stored.archive)}
        row["create_at"] = row["update_at"] = stored.created
        world.table("charts")[stored.id] = row


def set_chart_quota(world: World, quota: int) -> None:
    """Let the project store at most so many charts."""
    world.table("chart_quotas")["Charts"] = {"quota": quota}


def find_chart(world: World, chart_id: str) -> Row:
    """Return a chart's row.

    Raises:
        SimulatedError: 404 if there is none.
    """
    return fetch(world, "charts", chart_id, "chart", service=SERVICE)


@handles("list_charts")
def list_charts(world: World, _request: SimulatedRequest) -> list[Row]:
    """Answer every chart, the newest first."""
    return sorted(world.table("charts").values(), key=lambda row: str(row["create_at"]), reverse=True)


@handles("get_chart")
def get_chart(world: World, request: SimulatedRequest) -> Row:
    """Answer one chart."""
    return find_chart(world, request.path["chart_id"])


@handles("get_chart_values")
def get_chart_values(world: World, request: SimulatedRequest) -> Answer:
    """Answer the content of a chart's `values.yaml`, whose keys may have any form."""
    return Answer({"values": find_chart(world, request.path["chart_id"])["_values"]}, verbatim=True)


@handles("get_chart_quota")
def get_chart_quota(world: World, _request: SimulatedRequest) -> Row:
    """Answer how many charts may be stored and how many are."""
    resource = {"type": "Charts", "quota": _quota(world), "used": len(world.table("charts"))}
    return {"quotas": {"resources": [resource]}}


@handles("download_chart")
def download_chart(world: World, request: SimulatedRequest) -> Answer:
    """Answer the same bytes that were uploaded."""
    row = find_chart(world, request.path["chart_id"])
    disposition = f'attachment; filename="{row["chart_url"]}"'
    return Answer(base64.b64decode(row["_archive"]), headers={"Content-Disposition": disposition}, media_type=FILE)


@handles("upload_chart")
def upload_chart(world: World, request: SimulatedRequest) -> Row:
    """Store a chart; the same name and version again needs `override`."""
    options, content, archive = _received(request)
    charts = world.table("charts")
    row = _same_chart(world, archive)
    if row is not None and not options.get("override"):
        raise _exists(archive)
    if row is None:
        if len(charts) >= _quota(world):
            raise invalid(f"the chart quota is used up ({len(charts)} of {_quota(world)})", service=SERVICE)
        row = _new_row(world, world.new_id())
        charts[row["id"]] = row
    return _store(world, row, options, content, archive)


@handles("update_chart")
def update_chart(world: World, request: SimulatedRequest) -> Row:
    """Give a chart a new archive; the version it already has needs `override`."""
    row = find_chart(world, request.path["chart_id"])
    options, content, archive = _received(request)
    if archive.name != row["name"]:
        raise invalid(f"the archive holds the chart {archive.name!r}, not {row['name']!r}", service=SERVICE)
    same = _same_chart(world, archive)
    if same is not None and not (same is row and options.get("override")):
        raise _exists(archive)
    return _store(world, row, options, content, archive)


@handles("delete_chart")
def delete_chart(world: World, request: SimulatedRequest) -> str:
    """Delete a chart; releases made from it stay."""
    row = find_chart(world, request.path["chart_id"])
    del world.table("charts")[row["id"]]
    return "success"


def _received(request: SimulatedRequest) -> tuple[Mapping[str, Any], bytes, ChartArchive]:
    options = request.body.get("parameters") or {}
    content = request.body["content"]
    if not str(request.body.get("filename") or "").endswith((".tgz", ".tar.gz")):
        raise invalid("the file of a chart must be named *.tgz", service=SERVICE)
    try:
        return options, content, read_chart(content, lint=not options.get("skip_lint"))
    except BadArchive as error:
        raise invalid(f"the chart cannot be accepted: {error}", service=SERVICE) from error


def _new_row(world: World, chart_id: str) -> Row:
    return {
        "id": chart_id,
        "translate": "",
        "source": "",
        "public": False,
        "create_at": world.iso_timestamp(),
        "update_at": world.iso_timestamp(),
    }


def _content_of(archive: ChartArchive, content: bytes) -> Row:
    return {
        "name": archive.name,
        "version": archive.version,
        "values": as_json(archive.values),
        "instruction": archive.readme,
        "description": archive.description,
        "icon_url": archive.icon,
        "chart_url": f"{archive.name}-{archive.version}.tgz",
        "_values": archive.values,
        "_schema": archive.schema,
        "_hooks": archive.hooks,
        "_objects": [list(each) for each in archive.objects],
        "_archive": base64.b64encode(content).decode(),
    }


def _store(world: World, row: Row, options: Mapping[str, Any], content: bytes, archive: ChartArchive) -> Row:
    row.update(_content_of(archive, content), update_at=world.iso_timestamp())
    if "visible" in options:
        row["public"] = options["visible"]
    return row


def _same_chart(world: World, archive: ChartArchive) -> Row | None:
    rows = world.table("charts").values()
    return next((row for row in rows if (row["name"], row["version"]) == (archive.name, archive.version)), None)


def _exists(archive: ChartArchive) -> SimulatedError:
    reason = f"the chart {archive.name} {archive.version} is stored already"
    return SimulatedError(409, f"CCE.{SERVICE}409001", "The resource already exists", reason=reason)


def _quota(world: World) -> int:
    return int(world.table("chart_quotas").get("Charts", {}).get("quota", QUOTA))
