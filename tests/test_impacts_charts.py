import copy
import gzip
import io
import tarfile
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from impacts import Judge, judge

from ap_mcp.errors import NotFound, PermissionDenied
from ap_mcp.guard.impacts.archives import ChartName, NoChart, chart_in
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.chart_seed import PAYMENTS_API, PAYMENTS_API_OLD, REDIS, SEARCH_API, STORED_CHARTS
from ap_mcp.simulator.constants import PAYMENTS_PROD, SEARCH_DEV

pytestmark = pytest.mark.anyio

PATH = "charts/upload.tgz"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "delete": ("delete_chart", {"chart_id": PAYMENTS_API}),
    "update": ("update_chart", {"chart_id": PAYMENTS_API, "chart_path": PATH}),
    "overwrite": ("update_chart", {"chart_id": PAYMENTS_API, "chart_path": PATH, "override": True}),
    "upload": ("upload_chart", {"chart_path": PATH, "override": True}),
}
everything = pytest.mark.parametrize(("tool", "arguments"), CALLS.values(), ids=CALLS)
BY_ID = {name: call for name, call in CALLS.items() if "chart_id" in call[1]}
by_id = pytest.mark.parametrize(("tool", "arguments"), BY_ID.values(), ids=BY_ID)
WITH_FILE = {name: call for name, call in CALLS.items() if "chart_path" in call[1]}
with_file = pytest.mark.parametrize(("tool", "arguments"), WITH_FILE.values(), ids=WITH_FILE)


def facts(impact: Impact) -> dict[str, str]:
    return dict(impact.facts)


def packed(chart_yaml: str, name: str = "payments-api", path: str = "Chart.yaml") -> bytes:
    return build_chart(name, {path: chart_yaml, "values.yaml": "a: 1\n", "templates/a.yaml": "kind: A\n"})


def a_chart(name: str = "payments-api", version: str = "1.9.0") -> bytes:
    return packed(f"apiVersion: v2\nname: {name}\nversion: {version}\n", name)


def tarred(*members: tarfile.TarInfo | str, content: bytes = b"name: a\nversion: 1.2.3\n") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for each in members:
            member = tarfile.TarInfo(each) if isinstance(each, str) else each
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def a_link(path: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


async def ask(cloud: Judge, tool: str, arguments: dict[str, Any], file: bytes | None = None) -> Impact:
    cloud.files = {"chart_path": file or a_chart()}
    return await cloud.impact(tool, **arguments)


async def add_clusters(cloud: Judge, count: int) -> None:
    table = cloud.world.table("clusters")
    for number in range(count):
        row = copy.deepcopy(table[PAYMENTS_PROD])
        row["metadata"] |= {"uid": f"00000000-0000-0000-0000-{number:012}", "name": f"copy-{number:02}"}
        table[row["metadata"]["uid"]] = row


def with_id(chart_id: str | None, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "id": chart_id}


def release(cloud: Judge, cluster_id: str = PAYMENTS_PROD, place: str = "payments/payments-api") -> dict[str, Any]:
    found: dict[str, Any] = cloud.world.table("releases")[f"{cluster_id}/{place}"]
    return found


@everything
async def test_the_name_to_type_is_the_charts_own(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        impact = await ask(cloud, tool, arguments)
    assert impact.name == "payments-api"
    assert "the stored chart payments-api 1.9.0" in impact.sentence
    assert facts(impact)["chart"] == f"payments-api 1.9.0, id {PAYMENTS_API}"
    assert facts(impact)["last changed"].endswith(" d ago")


@everything
async def test_releases_that_use_it_are_found_in_every_cluster(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        other = {
            **copy.deepcopy(release(cloud)),
            "cluster_id": SEARCH_DEV,
            "namespace": "trial",
            "name": "payments-too",
        }
        cloud.world.table("releases")[f"{SEARCH_DEV}/trial/payments-too"] = other
        impact = await ask(cloud, tool, arguments)
        clusters = len(cloud.world.table("clusters"))
    assert cloud.read.count("list_releases") == clusters
    said = "\n".join(impact.stays)
    assert "release payments/payments-api in payments-prod: chart 1.9.0, revision 5, DEPLOYED" in said
    assert "release trial/payments-too in search-dev: chart 1.9.0, revision 5, DEPLOYED" in said
    assert any(each.startswith("2 releases use it") for each in impact.warnings)
    assert "redis" not in impact.text()


@everything
async def test_releases_of_other_versions_are_only_counted(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        release(cloud)["chart_version"] = "1.8.2"
        impact = await ask(cloud, tool, arguments)
    assert facts(impact)["releases of other versions"] == "1"
    assert not any("uses it" in each for each in impact.warnings)


@everything
async def test_releases_in_lists_of_lists_are_found_too(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.bent["list_releases"] = lambda body: [body]
        assert any("payments/payments-api" in each for each in (await ask(cloud, tool, arguments)).stays)


@everything
async def test_clusters_whose_releases_cannot_be_read_are_named(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        whole = await ask(cloud, tool, arguments)
        cloud.fail("list_releases")
        unread = await ask(cloud, tool, arguments)
        cloud.app.state.faults.clear()
        cloud.bent["list_releases"] = lambda _: {"unexpected": True}
        unexpected = await ask(cloud, tool, arguments)
    for impact in (unread, unexpected):
        unread_releases = next(each for each in impact.unknown if each.startswith("which releases use it in "))
        assert "payments-prod" in unread_releases
        assert unread_releases.endswith("could not be read")
        assert any(each.startswith("Could not be read: the releases of ") for each in impact.warnings)
        assert impact.fingerprint() != whole.fingerprint()


@everything
async def test_clusters_that_cannot_be_listed_are_said_and_warned_of(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.fail("list_clusters")
        impact = await ask(cloud, tool, arguments)
    assert any("which releases use it: could not be read (HTTP 403" in each for each in impact.unknown)
    assert "Could not be read: which releases use it." in impact.warnings
    assert "list_releases" not in cloud.read


@everything
async def test_at_most_twenty_clusters_are_read(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        await add_clusters(cloud, 25)
        left = len(cloud.world.table("clusters")) - 20
        impact = await ask(cloud, tool, arguments)
    assert cloud.read.count("list_releases") == 20
    assert f"which releases use it in {left} more clusters: only 20 are read" in impact.unknown
    assert f"Not read: the releases of {left} more clusters." in impact.warnings


@everything
async def test_many_releases_are_all_named(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        for number in range(20):
            other = {**copy.deepcopy(release(cloud)), "name": f"copy-{number:02}"}
            cloud.world.table("releases")[f"{PAYMENTS_PROD}/payments/copy-{number:02}"] = other
        impact = await ask(cloud, tool, arguments)
    assert len([each for each in impact.stays if each.startswith("release ")]) == 21
    assert any(each.startswith("21 releases use it") for each in impact.warnings)


@everything
async def test_the_fingerprint_outlives_time_but_not_a_change(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        first = await ask(cloud, tool, arguments)
        cloud.world.advance(90_000)
        later = await ask(cloud, tool, arguments)
        release(cloud)["version"] = 4
        used = await ask(cloud, tool, arguments)
        cloud.world.table("charts")[PAYMENTS_API]["update_at"] = cloud.world.iso_timestamp()
        stored = await ask(cloud, tool, arguments)
    assert first.text() != later.text(), "the age is shown"
    assert first.fingerprint() == later.fingerprint()
    assert len({each.fingerprint() for each in (later, used, stored)}) == 3


@with_file
async def test_the_fingerprint_covers_the_file(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        one = await ask(cloud, tool, arguments, a_chart())
        two = await ask(cloud, tool, arguments, packed("name: payments-api\nversion: 1.9.0\n# more\n"))
    assert one.fingerprint() != two.fingerprint()


@by_id
async def test_another_chart_than_asked_for_is_refused(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.files = {"chart_path": a_chart()}
        for found in (REDIS, "", None):
            cloud.bent["get_chart"] = partial(with_id, found)
            said = await cloud.refusal(tool, **arguments)
            assert f"asked for chart {PAYMENTS_API}, the service answered with" in said


@by_id
async def test_a_chart_that_cannot_be_read_is_not_touched(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        missing = await cloud.failure(tool, **arguments | {"chart_id": "none-such"})
        cloud.fail("get_chart")
        unread = await cloud.failure(tool, **arguments)
    assert isinstance(missing, NotFound)
    assert isinstance(unread, PermissionDenied)


@by_id
async def test_a_public_chart_is_warned_of(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.world.table("charts")[PAYMENTS_API]["public"] = True
        assert "It is visible to others, who may use it too." in (await ask(cloud, tool, arguments)).warnings


async def test_deleting_shows_what_goes_and_what_keeps_running() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "delete_chart", {"chart_id": PAYMENTS_API})
        unused = await ask(cloud, "delete_chart", {"chart_id": PAYMENTS_API_OLD})
    assert impact.effect == "destroy"
    assert impact.sentence == "Deletes the stored chart payments-api 1.9.0 for good."
    assert "1 release uses it." in impact.warnings
    assert any("download_chart keeps a copy" in each for each in impact.goes)
    assert any(each.endswith("; it keeps running") for each in impact.stays)
    assert any("still be rolled back" in each for each in impact.unknown)
    assert unused.warnings == ()
    assert unused.stays == ()
    assert facts(unused)["releases of other versions"] == "1"


@with_file
async def test_the_file_is_shown_by_its_path_and_size(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        impact = await ask(cloud, tool, arguments)
    assert facts(impact)["file"] == f'"{PATH}", {len(a_chart())} bytes'
    assert facts(impact)["the file says it is"] == "payments-api 1.9.0"


@with_file
async def test_options_of_an_upload_are_shown(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        shown = await ask(cloud, tool, {**arguments, "visible": True, "skip_lint": True})
        hidden = await ask(cloud, tool, {**arguments, "visible": False})
    assert "visibility: visible to others" in shown.changes
    assert "The archive is not verified (skip_lint)." in shown.warnings
    assert "visibility: hidden from others" in hidden.changes


async def test_an_update_shows_the_new_version() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, *CALLS["update"][:1], CALLS["update"][1], a_chart(version="2.0.0"))
    assert impact.effect == "disrupt"
    assert "version: 1.9.0 becomes 2.0.0" in impact.changes
    assert any(each.endswith("as it is until its next upgrade") for each in impact.stays)
    assert "1 release uses it: the next upgrade takes what is stored then." in impact.warnings


async def test_other_content_under_the_same_version_is_reported() -> None:
    async with judge() as cloud:
        plain = await ask(cloud, *CALLS["update"])
        forced = await ask(cloud, *CALLS["overwrite"])
    for impact in (plain, forced):
        assert any("no longer the same" in each for each in impact.goes)
    assert any("without override it may be refused" in each for each in plain.warnings)
    assert not any("override" in each for each in forced.warnings)
    assert forced.effect == "destroy"


async def test_a_file_for_another_chart_is_warned_of() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, *CALLS["update"], a_chart("redis", "18.6.1"))
    assert "The file holds another chart: redis, not payments-api." in impact.warnings
    assert impact.name == "payments-api"


async def test_an_upload_shows_which_stored_chart_it_overwrites() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, *CALLS["upload"])
    assert impact.sentence == "Overwrites the stored chart payments-api 1.9.0."
    assert "other stored versions of payments-api: 1.8.2" in impact.stays
    assert any("the stored archive of payments-api 1.9.0" in each for each in impact.goes)


async def test_an_upload_of_something_new_overwrites_nothing() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, *CALLS["upload"], a_chart(version="2.0.0"))
    assert impact.sentence == "Stores the chart payments-api 2.0.0; none of that version is there yet."
    assert "nothing: there is no stored chart to overwrite" in impact.goes
    assert "other stored versions of payments-api: 1.8.2, 1.9.0" in impact.stays


async def test_an_upload_that_may_not_overwrite_is_judged_too() -> None:
    async with judge() as cloud:
        new = await ask(cloud, "upload_chart", {"chart_path": PATH}, a_chart(version="2.0.0"))
        cloud.files = {"chart_path": a_chart()}
        said = await cloud.refusal("upload_chart", chart_path=PATH)
        cloud.files = {}
        unread = await cloud.impact("upload_chart", chart_path=PATH)
    assert new.sentence.startswith("Stores the chart payments-api 2.0.0")
    assert "the chart payments-api 1.9.0 is stored already" in said
    assert unread.sentence == 'Uploads the chart file "upload.tgz".'
    assert "which stored chart it overwrites" not in unread.unknown


async def test_stored_charts_that_cannot_be_read_are_said_and_warned_of() -> None:
    async with judge() as cloud:
        cloud.fail("list_charts")
        impact = await ask(cloud, *CALLS["upload"])
    assert impact.name == "payments-api"
    assert any("whether this chart is stored already: could not be read" in each for each in impact.unknown)
    assert "Could not be read: whether this chart is stored already." in impact.warnings


@with_file
async def test_a_file_that_was_not_read_is_said_and_warned_of(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        impact = await cloud.impact(tool, **arguments)
    assert "which chart the file holds: it was not read" in impact.unknown
    assert "Could not be read: which chart the file holds." in impact.warnings
    assert facts(impact)["file"] == f'"{PATH}"'
    assert ("which stored chart it overwrites" in impact.unknown) is (tool == "upload_chart")
    assert impact.name == ("upload.tgz" if tool == "upload_chart" else "payments-api")


@with_file
async def test_a_file_that_is_no_chart_is_refused(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.files = {"chart_path": b"no archive"}
        said = await cloud.refusal(tool, **arguments)
    assert f'which chart the file "{PATH}" holds cannot be known: it is broken' in said


def test_the_seeds_archives_say_what_they_are() -> None:
    found = {chart.id: chart_in(chart.archive) for chart in STORED_CHARTS}
    assert found[PAYMENTS_API] == ChartName("payments-api", "1.9.0")
    assert found[SEARCH_API] == ChartName("search-api", "0.9.3")


@pytest.mark.parametrize("path", ["a/Chart.yaml", "./a/Chart.yaml", "a//Chart.yaml", "a/./Chart.yaml"])
def test_a_chart_is_found_however_its_path_is_written(path: str) -> None:
    assert chart_in(tarred(path, "a/charts/b/Chart.yaml", "a/templates/c.yaml")) == ChartName("a", "1.2.3")


@pytest.mark.parametrize(
    "archive",
    [
        tarred("a/Chart.yaml", "b/Chart.yaml"),
        tarred("a/Chart.yaml", "a/Chart.yaml"),
        tarred("a/Chart.yaml", "a\\Chart.yaml"),
        tarred("a/Chart.yaml", "./a//chart.yaml"),
        tarred("a/Chart.yaml", "Chart.yaml"),
        tarred("a/Chart.yaml", "a/../Chart.yaml"),
        tarred("a/Chart.yaml", a_link("b/Chart.yaml")),
        tarred(a_link("a/Chart.yaml")),
        tarred("a/values.yaml"),
        tarred("a/charts/b/Chart.yaml"),
        tarred("a/Chart.yaml", content=b"name: a\nversion: 1.2.3\n#" + b"x" * 70_000),
        gzip.compress(b"\0" * 10_000),
        a_chart()[:-40],
        b"",
    ],
)
def test_an_archive_that_can_be_read_in_two_ways_is_no_chart(archive: bytes) -> None:
    with pytest.raises(NoChart):
        chart_in(archive)


def test_an_archive_of_thousands_of_files_is_no_chart() -> None:
    with pytest.raises(NoChart):
        chart_in(tarred(*(f"a/{number}" for number in range(6000)), "a/Chart.yaml", content=b""))


def test_an_archive_that_unpacks_without_end_is_no_chart() -> None:
    big = tarfile.TarInfo("a/big")
    big.size = 80 * 1024 * 1024
    raw = big.tobuf() + b"\0" * big.size
    with pytest.raises(NoChart, match="more than a chart may hold"):
        chart_in(gzip.compress(raw, 1))


@pytest.mark.parametrize(
    "chart_yaml",
    [
        "name: a",
        "version: 1.2.3",
        "name: a\nname: b\nversion: 1.2.3",
        "name: a\nName: b\nversion: 1.2.3",
        "name: a\nversion: 1.2.3\nver\u017fion: 2.0.0",
        "name: a\nversion: 1.2",
        "name: a\nversion: true",
        "name: [a]\nversion: 1.2.3",
        "name: A b\nversion: 1.2.3",
        "name: 'a\n\n  Warning: none'\nversion: 1.2.3",
        "name: a\nversion: 1.2.3; rm",
        "[name, version]",
        "name: &a [*a]",
        "a: [" * 500,
        "\t: {",
        "",
        "name: a\nversion: 1.2.3\n---\nname: b\nversion: 1.2.3",
    ],
)
def test_a_chart_yaml_that_leaves_doubt_is_refused(chart_yaml: str) -> None:
    with pytest.raises(NoChart):
        chart_in(packed(chart_yaml))


@pytest.mark.parametrize("version", ["1.2.3", "v1.2.3", "1.2.3-rc.1+build.5", "'1.2'"])
def test_usual_versions_are_understood(version: str) -> None:
    assert chart_in(packed(f"name: a\nversion: {version}")).version == version.strip("'")


@given(content=st.binary(max_size=600), zipped=st.booleans())
def test_no_bytes_make_the_reader_fail(content: bytes, *, zipped: bool) -> None:
    with pytest.raises(NoChart):
        chart_in(gzip.compress(content) if zipped else content)


@example(at=119, flip=2)
@given(at=st.integers(0, 400), flip=st.integers(1, 255))
def test_a_damaged_archive_is_never_misread(at: int, flip: int) -> None:
    archive = bytearray(a_chart())
    at %= len(archive)
    archive[at] ^= flip
    try:
        found = chart_in(bytes(archive))
    except NoChart:
        return
    assert found == ChartName("payments-api", "1.9.0")
