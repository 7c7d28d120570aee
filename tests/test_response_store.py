import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ap_mcp.files import SavedFile
from ap_mcp.response_store import PREFIX, LocalResponseStore, kept_text
from ap_mcp.specs import load_catalog
from ap_mcp.summaries import Observation

pytestmark = pytest.mark.anyio


async def keep(store: LocalResponseStore, body: Any, principal: str = "ann") -> str | None:
    whole = kept_text(answered(body))
    assert whole is not None
    return await store.keep(principal, whole)


def answered(body: Any, file: SavedFile | None = None) -> Observation:
    operation = load_catalog()["get_job"]
    return Observation(operation=operation, arguments={}, body=body, file=file, now=datetime(2024, 6, 4, tzinfo=UTC))


async def test_a_kept_answer_is_read_back_as_json() -> None:
    store = LocalResponseStore()
    uri = await keep(store, {"status": {"phase": "Running"}, "gone": None})
    assert uri is not None
    assert json.loads(await store.read("ann", uri) or "") == {"status": {"phase": "Running"}, "gone": None}


async def test_secrets_are_masked_before_they_are_kept() -> None:
    store = LocalResponseStore()
    uri = await keep(store, {"values": {"db": {"password": "hunter2"}}})
    assert uri is not None
    assert "hunter2" not in (await store.read("ann", uri) or "")


async def test_only_the_principal_of_a_call_reads_its_answer() -> None:
    store = LocalResponseStore()
    uri = await keep(store, {"a": 1})
    assert uri is not None
    assert await store.read("bob", uri) is None
    assert await store.read("ann", uri) is not None


async def test_a_uri_cannot_be_guessed_from_another() -> None:
    store = LocalResponseStore()
    uris = {await keep(store, {"a": 1}) for _ in range(100)}
    assert len(uris) == 100
    assert all(uri is not None and re.fullmatch(re.escape(PREFIX) + r"[\w-]{24}", uri) for uri in uris)
    assert await store.read("ann", PREFIX + "0" * 24) is None


async def test_the_oldest_answer_goes_first_when_there_are_too_many() -> None:
    store = LocalResponseStore(limit_count=2)
    first, second, third = [await keep(store, {"n": number}) for number in range(3)]
    assert first is not None
    assert second is not None
    assert third is not None
    assert [await store.read("ann", uri) is not None for uri in (first, second, third)] == [False, True, True]
    assert len(store) == 2


async def test_the_oldest_answers_go_first_when_they_are_too_large_together() -> None:
    store = LocalResponseStore(limit_bytes=100)
    first = await keep(store, "é" * 30)
    second = await keep(store, "é" * 30)
    assert first is not None
    assert second is not None
    assert await store.read("ann", first) is None
    assert await store.read("ann", second) is not None


@pytest.mark.parametrize("limits", [{"limit_count": 4}, {"limit_bytes": 100}])
async def test_who_keeps_much_takes_no_room_of_others(limits: dict[str, int]) -> None:
    store = LocalResponseStore(**limits)
    bobs = await store.keep("bob", "b" * 20)
    anns = [await store.keep("ann", "a" * 20) for _ in range(50)]
    assert bobs is not None
    assert await store.read("bob", bobs) == "b" * 20
    there = [uri for uri in anns if uri is not None and await store.read("ann", uri) is not None]
    assert there == anns[-len(there) :]
    assert len(there) >= 3


def test_an_answer_that_is_too_long_is_cut_and_says_so_in_json() -> None:
    cut = json.loads(kept_text(answered({"items": ["x" * 100]}), limit=50) or "")
    assert (len(cut["start"]), len(cut["end"])) == (25, 25)
    assert cut["note"].startswith("Cut: 25 characters of the start and of the end follow, as text, of 114.")


async def test_an_answer_larger_than_the_whole_store_leaves_the_others_alone() -> None:
    store = LocalResponseStore(limit_bytes=100)
    kept = await keep(store, "a")
    assert kept is not None
    assert await keep(store, "b" * 200) is None
    assert await store.read("ann", kept) is not None


def test_empty_answers_and_those_in_a_file_are_not_kept() -> None:
    assert kept_text(answered(None)) is None
    assert kept_text(answered("")) is None
    file = SavedFile(path=Path("/files/kubeconfig.json"), bytes=1, sha256="00")
    assert kept_text(answered({"kind": "Config"}, file)) is None


async def test_characters_that_json_cannot_carry_do_not_break_the_store() -> None:
    store = LocalResponseStore()
    uri = await keep(store, {"a": "\ud800", "b": float("inf")})
    assert uri is not None
    assert json.loads(await store.read("ann", uri) or "") == {"a": "?"}
    other = await keep(store, {"a": "\ud800"})
    assert other is not None
    assert json.loads(await store.read("ann", other) or "") == {"a": "?"}


@pytest.mark.parametrize("beside", ["", "é", "日本"])
@pytest.mark.parametrize("unseen", ["\x00", "\x1b", "\x7f", "\x9b", "\u200b", "\u202e", "\ufeff"])
def test_unseen_characters_are_kept_as_json_spells_them(unseen: str, beside: str) -> None:
    kept = kept_text(answered({"a": f"{beside}{unseen}b"}))
    assert kept is not None
    assert kept.isprintable()
    assert json.loads(kept) == {"a": f"{beside}{unseen}b"}
