"""A large answer is unpacked bit by bit, and goes to another process as it came."""

import gzip
import json
import pickle
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ap_mcp.binding import HttpCall
from ap_mcp.cloud import bodies, http, lines
from ap_mcp.cloud.client import CloudResponse
from ap_mcp.cloud.responses import read_answer
from ap_mcp.errors import BadAnswer
from ap_mcp.shaping import Answered, shape
from ap_mcp.specs import JSON, load_catalog

pytestmark = pytest.mark.anyio


def answered(values: Any) -> Answered:
    content = json.dumps({"name": "web", "namespace": "shop", "status": "DEPLOYED", "values": values}).encode()
    response = CloudResponse(200, {}, bodies.parse_json(content), content)
    given = {"cluster_id": "c", "namespace": "shop", "name": "web"}
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return Answered(load_catalog()["get_release"], given, response.body, now, content=response.parsed_from)


@pytest.mark.parametrize("levels", [1, 90, 400])
def test_a_deep_answer_can_be_sent_to_another_process_and_says_the_same_there(levels: int) -> None:
    values: Any = {"password": "s3cr3t-of-web", "mode": "fast"}
    for _ in range(levels):
        values = {"below": values}
    here = answered(values)
    there = pickle.loads(pickle.dumps(here))  # noqa: S301 - our own
    assert json.dumps(there.body) == json.dumps(here.body)
    assert shape(there) == shape(here)
    assert "s3cr3t" not in repr(shape(there))


def test_a_part_of_an_answer_is_not_taken_for_the_whole_of_it() -> None:
    content = b'{"clusters": [1, 2]}'
    response = CloudResponse(200, {}, {"clusters": [1, 2]}, content)
    assert response.parsed_from == content
    assert response.narrowed(response.body).parsed_from == content
    part = response.narrowed({"clusters": [1]})
    assert (part.parsed_from, part.content) == (b"", content)


def test_an_answer_that_is_nested_beyond_reason_is_not_said_to_be_cut_off() -> None:
    content = b'{"a":' * 5000 + b"1" + b"}" * 5000
    call = HttpCall("get_release", "GET", "/x", accepts=JSON)
    with pytest.raises(BadAnswer) as bad:
        read_answer(call, 200, {"content-type": JSON}, content)
    assert "nested too deeply to be read" in bad.value.hint
    assert "cut off" not in bad.value.hint


@pytest.mark.parametrize("unpacked", [10, 100_000])
async def test_what_came_is_unpacked_a_little_at_a_time(unpacked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "UNPACKED_AT_ONCE", 1000)
    content = gzip.compress(json.dumps(["x" * unpacked]).encode())

    async def halves() -> AsyncIterator[bytes]:
        yield content[:20]
        yield content[20:]

    response = http.Response(200, headers={"content-encoding": "gzip"}, content=halves())
    pieces = [piece async for piece in lines.unpacked(response)]
    assert json.loads(b"".join(pieces)) == ["x" * unpacked]
    assert max(map(len, pieces)) <= 1000


async def test_what_is_not_packed_as_it_says_was_not_understood() -> None:
    async def plain() -> AsyncIterator[bytes]:
        yield b"{}"

    request = http.Request("GET", "http://127.0.0.1/")
    response = http.Response(200, headers={"content-encoding": "gzip"}, content=plain(), request=request)
    with pytest.raises(http.DecodingError):
        assert not [piece async for piece in lines.unpacked(response)]
