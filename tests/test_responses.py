import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ap_mcp.files import SavedFile
from ap_mcp.response_store import PREFIX, ResponseStore
from ap_mcp.specs import load_catalog
from ap_mcp.summaries import Observation


def answered(body: Any, file: SavedFile | None = None) -> Observation:
    operation = load_catalog()["get_job"]
    return Observation(operation=operation, arguments={}, body=body, file=file, now=datetime(2024, 6, 4, tzinfo=UTC))


def test_a_kept_answer_is_read_back_as_json() -> None:
    store = ResponseStore()
    uri = store.keep("ann", answered({"status": {"phase": "Running"}, "gone": None}))
    assert uri is not None
    assert json.loads(store.read("ann", uri) or "") == {"status": {"phase": "Running"}, "gone": None}


def test_secrets_are_masked_before_they_are_kept() -> None:
    store = ResponseStore()
    uri = store.keep("ann", answered({"values": {"db": {"password": "hunter2"}}}))
    assert uri is not None
    assert "hunter2" not in (store.read("ann", uri) or "")


def test_only_the_principal_of_a_call_reads_its_answer() -> None:
    store = ResponseStore()
    uri = store.keep("ann", answered({"a": 1}))
    assert uri is not None
    assert store.read("bob", uri) is None
    assert store.read("ann", uri) is not None


def test_a_uri_cannot_be_guessed_from_another() -> None:
    store = ResponseStore()
    uris = {store.keep("ann", answered({"a": 1})) for _ in range(100)}
    assert len(uris) == 100
    assert all(uri is not None and re.fullmatch(re.escape(PREFIX) + r"[\w-]{24}", uri) for uri in uris)
    assert store.read("ann", PREFIX + "0" * 24) is None


def test_the_oldest_answer_goes_first_when_there_are_too_many() -> None:
    store = ResponseStore(limit_count=2)
    first, second, third = (store.keep("ann", answered({"n": number})) for number in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert [store.read("ann", uri) is not None for uri in (first, second, third)] == [False, True, True]
    assert len(store) == 2


def test_the_oldest_answers_go_first_when_they_are_too_large_together() -> None:
    store = ResponseStore(limit_bytes=100)
    first = store.keep("ann", answered("é" * 30))
    second = store.keep("ann", answered("é" * 30))
    assert first is not None
    assert second is not None
    assert store.read("ann", first) is None
    assert store.read("ann", second) is not None


def test_an_answer_that_is_too_long_is_cut_and_says_so_in_json() -> None:
    store = ResponseStore(limit_text=50)
    uri = store.keep("ann", answered({"items": ["x" * 100]}))
    assert uri is not None
    cut = json.loads(store.read("ann", uri) or "")
    assert len(cut["start"]) == 50
    assert cut["note"].startswith("Cut: the first 50 of 114 characters")


def test_an_answer_larger_than_the_whole_store_leaves_the_others_alone() -> None:
    store = ResponseStore(limit_bytes=100)
    kept = store.keep("ann", answered("a"))
    assert kept is not None
    assert store.keep("ann", answered("b" * 200)) is None
    assert store.read("ann", kept) is not None


def test_empty_answers_and_those_in_a_file_are_not_kept() -> None:
    store = ResponseStore()
    assert store.keep("ann", answered(None)) is None
    assert store.keep("ann", answered("")) is None
    file = SavedFile(path=Path("/files/kubeconfig.json"), bytes=1, sha256="00")
    assert store.keep("ann", answered({"kind": "Config"}, file)) is None
    assert len(store) == 0


def test_characters_that_json_cannot_carry_do_not_break_the_store() -> None:
    store = ResponseStore()
    uri = store.keep("ann", answered({"a": "\ud800", "b": float("inf")}))
    assert uri is not None
    assert json.loads(store.read("ann", uri) or "") == {"a": "?"}
    other = store.keep("ann", answered({"a": "\ud800"}))
    assert other is not None
    assert json.loads(store.read("ann", other) or "") == {"a": "?"}
