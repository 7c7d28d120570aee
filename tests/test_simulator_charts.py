import base64
import contextlib
import gzip
import io
import json
import tarfile
from collections.abc import AsyncIterator

import httpx
import pytest
from calling import Tools
from hypothesis import given
from hypothesis import strategies as st
from simulation import Caller, simulate

from ap_mcp.binding import FilePart, bind
from ap_mcp.simulator.archives import (
    LARGEST_ARCHIVE,
    LARGEST_CONTENT,
    MOST_MEMBERS,
    BadArchive,
    build_chart,
    load_yaml,
    read_chart,
)
from ap_mcp.simulator.chart_seed import PAYMENTS_API, PAYMENTS_API_OLD, REDIS
from ap_mcp.simulator.charts import set_chart_quota
from ap_mcp.simulator.constants import PROJECT_ID
from ap_mcp.specs import Catalog

pytestmark = pytest.mark.anyio

CHART_YAML = 'apiVersion: v2\nname: guestbook\nversion: "1.0.0"\ndescription: A page to sign\n'
VALUES_YAML = "replicas: 2\nimage: {repository: example/guestbook, tag: '5'}\n_private: kept\n"
FILES = {
    "Chart.yaml": CHART_YAML,
    "values.yaml": VALUES_YAML,
    "README.md": "# guestbook\n",
    "templates/deployment.yaml": "kind: Deployment\nreplicas: {{ .Values.replicas }}\n",
}
GUESTBOOK = build_chart("guestbook", FILES)
UNKNOWN = "00000000-0000-11ef-8f53-0255ac100000"


@pytest.fixture
async def charts(catalog: Catalog) -> AsyncIterator[Tools]:
    async with Caller(simulate()) as caller:
        yield Tools(catalog, caller)


async def upload(
    charts: Tools, content: bytes, filename: str = "guestbook-1.0.0.tgz", **arguments: bool
) -> httpx.Response:
    return await charts("upload_chart", chart_path=FilePart(filename, content), **arguments)


async def update(charts: Tools, chart_id: str, content: bytes, **arguments: bool) -> httpx.Response:
    archive = FilePart("guestbook-1.0.0.tgz", content)
    return await charts("update_chart", chart_id=chart_id, chart_path=archive, **arguments)


def guestbook(**changes: str | None) -> bytes:
    """Build the chart with files changed (`Chart_yaml`, …) or left out (None)."""
    names = {"chart": "Chart.yaml", "values": "values.yaml", "template": "templates/deployment.yaml"}
    files: dict[str, str | None] = dict(FILES)
    files |= {names.get(name, name): text for name, text in changes.items()}
    return build_chart("guestbook", {path: text for path, text in files.items() if text is not None})


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Build an archive from raw tar members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def linked(kind: bytes) -> bytes:
    link = tarfile.TarInfo("guestbook/values.yaml")
    link.type = kind
    link.linkname = "/etc/passwd"
    return packed((tarfile.TarInfo("guestbook/Chart.yaml"), CHART_YAML.encode()), (link, b""))


def reason(response: httpx.Response) -> str:
    return str(response.json()["message"])


async def test_the_seed_account_lists_its_charts_newest_first(charts: Tools) -> None:
    listed = (await charts("list_charts")).json()
    assert [(chart["name"], chart["version"]) for chart in listed] == [
        ("search-api", "0.9.3"),
        ("payments-api", "1.9.0"),
        ("payments-api", "1.8.2"),
        ("redis", "18.6.1"),
    ]
    assert not [key for chart in listed for key in chart if key.startswith("_")]


async def test_an_uploaded_chart_is_unpacked_listed_and_comes_back_byte_for_byte(charts: Tools) -> None:
    uploaded = await upload(charts, GUESTBOOK)
    assert uploaded.status_code == 201
    chart = uploaded.json()
    assert (chart["name"], chart["version"], chart["description"]) == ("guestbook", "1.0.0", "A page to sign")
    assert json.loads(chart["values"])["image"] == {"repository": "example/guestbook", "tag": "5"}
    assert (chart["chart_url"], chart["instruction"], chart["public"]) == ("guestbook-1.0.0.tgz", "README.md", False)
    assert (await charts("get_chart", chart_id=chart["id"])).json() == chart
    values = (await charts("get_chart_values", chart_id=chart["id"])).json()
    assert values == {"values": json.loads(chart["values"])}
    archive = await charts("download_chart", chart_id=chart["id"])
    assert archive.content == GUESTBOOK
    assert archive.headers["Content-Type"] == "application/octet-stream"
    assert archive.headers["Content-Disposition"] == 'attachment; filename="guestbook-1.0.0.tgz"'


async def test_the_same_chart_again_is_refused_unless_it_may_override(charts: Tools) -> None:
    first = (await upload(charts, GUESTBOOK)).json()
    again = await upload(charts, GUESTBOOK)
    assert (again.status_code, again.json()["errorCode"]) == (409, "CCE.02409001")
    changed = guestbook(values="replicas: 9\n")
    replaced = await upload(charts, changed, override=True)
    assert replaced.status_code == 201
    assert replaced.json()["id"] == first["id"]
    assert json.loads(replaced.json()["values"]) == {"replicas": 9}
    assert (await charts("download_chart", chart_id=first["id"])).content == changed


async def test_another_version_is_a_chart_of_its_own(charts: Tools) -> None:
    first = (await upload(charts, GUESTBOOK)).json()
    newer = await upload(charts, guestbook(chart=CHART_YAML.replace("1.0.0", "1.1.0")))
    assert newer.status_code == 201
    assert newer.json()["id"] != first["id"]


async def test_the_quota_counts_stored_charts_and_stops_uploads(charts: Tools) -> None:
    set_chart_quota(charts.world, 5)
    assert (await upload(charts, GUESTBOOK)).status_code == 201
    quota = (await charts("get_chart_quota")).json()
    assert quota == {"quotas": {"resources": [{"type": "Charts", "quota": 5, "used": 5}]}}
    newer = guestbook(chart=CHART_YAML.replace("1.0.0", "1.1.0"))
    refused = await upload(charts, newer)
    assert (refused.status_code, reason(refused)) == (400, "the chart quota is used up (5 of 5)")
    assert (await upload(charts, GUESTBOOK, override=True)).status_code == 201


async def test_an_update_gives_a_chart_a_new_version_under_its_old_id(charts: Tools) -> None:
    chart = (await upload(charts, GUESTBOOK)).json()
    newer = guestbook(chart=CHART_YAML.replace("1.0.0", "1.1.0"))
    charts.world.advance(60)
    updated = await update(charts, chart["id"], newer, visible=True)
    assert updated.status_code == 200
    after = updated.json()
    assert (after["id"], after["version"], after["public"]) == (chart["id"], "1.1.0", True)
    assert after["create_at"] == chart["create_at"] < after["update_at"]


async def test_an_update_to_the_stored_version_needs_override(charts: Tools) -> None:
    chart = (await upload(charts, GUESTBOOK)).json()
    assert (await update(charts, chart["id"], GUESTBOOK)).status_code == 409
    assert (await update(charts, chart["id"], GUESTBOOK, override=True)).status_code == 200


async def test_an_update_must_be_of_the_same_chart_and_may_not_take_a_sibling_s_version(charts: Tools) -> None:
    other = await update(charts, REDIS, GUESTBOOK)
    assert (other.status_code, other.json()["errorCode"]) == (400, "CCE.02400001")
    sibling = (await charts("download_chart", chart_id=PAYMENTS_API)).content
    assert (await update(charts, PAYMENTS_API_OLD, sibling, override=True)).status_code == 409


async def test_a_deleted_chart_is_gone(charts: Tools) -> None:
    deleted = await charts("delete_chart", chart_id=REDIS)
    assert (deleted.status_code, deleted.text) == (200, "success")
    assert deleted.headers["Content-Type"].startswith("text/plain")
    assert (await charts("get_chart", chart_id=REDIS)).status_code == 404
    assert (await charts("delete_chart", chart_id=REDIS)).status_code == 404


@pytest.mark.parametrize("tool", ["get_chart", "get_chart_values", "download_chart", "delete_chart"])
async def test_an_unknown_chart_is_not_found(charts: Tools, tool: str) -> None:
    answer = await charts(tool, chart_id=UNKNOWN)
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "CCE.02404001")
    assert UNKNOWN in reason(answer)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no archive at all", "is no gzip archive"),
        (GUESTBOOK[: len(GUESTBOOK) // 2], "broken or cut off"),
        (gzip.compress(b"no tar inside" * 99), "broken or cut off"),
        (guestbook(chart=None), "no Chart.yaml"),
        (guestbook(chart="[1, 2]"), "Chart.yaml does not hold a map"),
        (guestbook(chart="a: [1"), "Chart.yaml is no YAML"),
        (guestbook(chart="name: guestbook\nversion: 1.0.0\n"), "no apiVersion"),
        (guestbook(chart=CHART_YAML.replace("guestbook", "Guest_Book")), "name must be"),
        (guestbook(chart=CHART_YAML.replace('"1.0.0"', "1.30")), "version must be a text"),
        (guestbook(chart=CHART_YAML.replace("1.0.0", "latest")), "version must be a text"),
        (guestbook(values="- 1\n"), "values.yaml does not hold a map"),
        (guestbook(values="a: .nan\n"), "JSON cannot express"),
        (guestbook(values="a: !!set {x}\n"), "JSON cannot express"),
        (guestbook(values="? [1, 2]\n: a\n"), "values.yaml"),
        (guestbook(values=None), "no values.yaml"),
        (guestbook(template=None), "no templates"),
        (guestbook(template="{{ .Values.x"), "never closed"),
        (build_chart("guests", FILES), "is not named as the chart"),
        (packed((tarfile.TarInfo("../guestbook/Chart.yaml"), b"x")), "leads out of the chart"),
        (packed((tarfile.TarInfo("/etc/Chart.yaml"), b"x")), "leads out of the chart"),
        (packed((tarfile.TarInfo("guestbook\\Chart.yaml"), b"x")), "leads out of the chart"),
        (packed((tarfile.TarInfo("Chart.yaml"), CHART_YAML.encode())), "exactly one folder"),
        (packed(*[(tarfile.TarInfo("guestbook/Chart.yaml"), CHART_YAML.encode())] * 2), "twice"),
        (packed((tarfile.TarInfo("guestbook/" + "a" * 300), b"x")), "longer than"),
        (linked(tarfile.SYMTYPE), "neither a file nor a folder"),
        (linked(tarfile.LNKTYPE), "neither a file nor a folder"),
        (linked(tarfile.CHRTYPE), "neither a file nor a folder"),
        (guestbook(**{"values.schema.json": "[]"}), "values.schema.json does not hold an object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "archive",
)
async def test_an_archive_that_is_broken_or_dangerous_is_refused_with_its_reason(
    charts: Tools, content: bytes, said: str
) -> None:
    refused = await upload(charts, content)
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "CCE.02400001")
    assert said in reason(refused)
    assert (await charts("get_chart_quota")).json()["quotas"]["resources"][0]["used"] == 4


async def test_skipping_the_lint_lets_a_sloppy_chart_pass_but_no_dangerous_one(charts: Tools) -> None:
    sloppy = guestbook(values=None, template=None)
    assert (await upload(charts, sloppy, skip_lint=True)).status_code == 201
    assert (await upload(charts, linked(tarfile.SYMTYPE), skip_lint=True)).status_code == 400


async def test_a_file_that_is_not_named_as_an_archive_is_refused(charts: Tools) -> None:
    assert "must be named *.tgz" in reason(await upload(charts, GUESTBOOK, "guestbook.zip"))


async def test_a_changed_constant_or_an_unknown_parameter_is_refused_by_the_spec(charts: Tools) -> None:
    call = bind(
        charts.catalog["upload_chart"],
        {"override": True},
        project_id=PROJECT_ID,
        files={"chart_path": FilePart("guestbook-1.0.0.tgz", GUESTBOOK)},
    )
    assert call.body is not None
    assert b'{"override":true,"source":"package"}' in call.body
    for wrong in (b'{"override":true,"source":"elsewhere"}', b'{"overide":true}'):
        body = call.body.replace(b'{"override":true,"source":"package"}', wrong)
        headers = {"Content-Type": call.content_type}
        answer = await charts.caller.send(call.method, call.path, body, headers=headers)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "CCE.02400001")


def test_an_archive_too_large_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(BadArchive, match="larger than 10 MiB"):
        read_chart(b"\x1f\x8b" + bytes(LARGEST_ARCHIVE))


def test_an_archive_that_unfolds_into_too_much_is_refused() -> None:
    bomb = gzip.compress(bytes(LARGEST_CONTENT + 1), compresslevel=1)
    with pytest.raises(BadArchive, match="unpacks to more than"):
        read_chart(bomb)


def test_an_archive_of_too_many_files_is_refused() -> None:
    members = [(tarfile.TarInfo(f"guestbook/templates/{number}"), b"") for number in range(MOST_MEMBERS + 1)]
    with pytest.raises(BadArchive, match="more than 2000 files"):
        read_chart(packed(*members))


def test_yaml_aliases_that_unfold_into_too_much_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(BadArchive, match="unfolds to more than"):
        load_yaml("\n".join(lines).encode(), "values.yaml")


def test_yaml_that_holds_itself_or_nests_without_end_is_refused() -> None:
    for text in ("a: &a [*a]", "[" * 200_000, "{a: " * 50_000, "x: " + "[" * 40 + "]" * 40):
        with pytest.raises(BadArchive):
            load_yaml(text.encode(), "values.yaml")


def test_yaml_too_large_is_refused_and_dates_and_unusual_keys_become_json() -> None:
    with pytest.raises(BadArchive, match="larger than"):
        load_yaml(b"a: " + b"x" * 300_000, "values.yaml")
    assert load_yaml(b"since: 2024-05-01\n2: two\ntrue: yes\n", "values.yaml") == {
        "since": "2024-05-01",
        "2": "two",
        "true": True,
    }


def test_folders_in_an_archive_and_an_empty_values_file_are_fine() -> None:
    folder = tarfile.TarInfo("guestbook/templates/")
    folder.type = tarfile.DIRTYPE
    files = {**FILES, "values.yaml": "# nothing to set\n"}
    members = [(tarfile.TarInfo(f"./guestbook/{path}"), text.encode()) for path, text in files.items()]
    chart = read_chart(packed((folder, b""), *members))
    assert (chart.name, chart.values, chart.readme, chart.schema) == ("guestbook", {}, "README.md", None)


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadArchive, match="a key that is no text"):
        load_yaml(b"2024-05-01: x\n", "values.yaml")


@given(st.binary(max_size=40), st.integers(0, 6000), st.booleans())
def test_an_archive_damaged_anywhere_is_read_or_refused_and_never_breaks_the_reader(
    noise: bytes, position: int, zipped: bool
) -> None:
    plain = GUESTBOOK if zipped else gzip.decompress(GUESTBOOK)
    at = position % len(plain)
    damaged = plain[:at] + noise + plain[at + len(noise) :]
    with contextlib.suppress(BadArchive):
        read_chart(damaged if zipped else gzip.compress(damaged, compresslevel=1))


def test_equal_files_make_equal_archives() -> None:
    assert base64.b64encode(build_chart("guestbook", FILES)) == base64.b64encode(GUESTBOOK)
