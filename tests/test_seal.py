"""What is sealed comes back as it was, to the same purpose and in time, or not at all."""

import base64
import copy
import json
import pickle
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import SecretStr

from ap_mcp.guard.seal import (
    NAME_LENGTH,
    VERSION,
    Forged,
    SealedElsewhere,
    Sealer,
    canonical,
    moment_at,
    sealer_from,
    ticks,
)
from ap_mcp.settings import Settings

KEY = bytes(range(32))
SEALER = Sealer(KEY)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EXPIRES = NOW + timedelta(minutes=5)
PAYLOAD = {"tool": "delete_cluster", "digest": "a" * 64, "principal": "ivan", "round": 1}
SEALED = SEALER.seal("token", PAYLOAD, EXPIRES)
HEAD = SEALED[: len(VERSION) + NAME_LENGTH + 1]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def refuses(sealer: Sealer, kind: str, text: Any) -> None:
    """Check that a text is taken for forged, in its time and long after it."""
    for now in (NOW, EXPIRES + timedelta(days=9)):
        with pytest.raises(Forged):
            sealer.open(kind, text, now)


@given(st.dictionaries(st.text(), json_values, max_size=4), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens_as_it_was(payload: dict[str, Any], kind: str) -> None:
    assert SEALER.open(kind, SEALER.seal(kind, payload, EXPIRES), NOW) == payload


def test_a_seal_opens_in_another_process_with_the_same_key() -> None:
    assert Sealer(KEY).open("token", SEALED, NOW) == PAYLOAD


def test_the_same_payload_is_never_sealed_the_same_way_twice() -> None:
    assert SEALER.seal("token", PAYLOAD, EXPIRES) != SEALED


@given(st.integers(0, len(SEALED) - 1), st.characters())
def test_no_text_with_another_character_opens(place: int, char: str) -> None:
    changed = SEALED[:place] + char + SEALED[place + 1 :]
    assume(changed != SEALED)
    refuses(SEALER, "token", changed)


@given(st.data())
def test_no_text_with_a_flipped_bit_opens(data: st.DataObject) -> None:
    body = SEALED.removeprefix(HEAD)
    sealed = bytearray(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    changed = HEAD + base64.urlsafe_b64encode(bytes(sealed)).rstrip(b"=").decode()
    refuses(SEALER, "token", changed)


@given(st.text() | st.binary().map(lambda data: HEAD + base64.urlsafe_b64encode(data).rstrip(b"=").decode()))
def test_nothing_made_up_opens(text: str) -> None:
    refuses(SEALER, "token", text)


@given(st.integers(0, len(SEALED) - 1), st.text(max_size=3))
def test_no_cut_or_lengthened_text_opens(length: int, more: str) -> None:
    refuses(SEALER, "token", SEALED[:length])
    if more:
        refuses(SEALER, "token", SEALED + more)


def test_a_payload_has_one_spelling_only() -> None:
    for length in range(3):
        sealed = SEALER.seal("token", {"": "x" * length}, EXPIRES)
        for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=":
            other = sealed[:-1] + char
            if other != sealed:
                refuses(SEALER, "token", other)
        refuses(SEALER, "token", sealed + "=")
        refuses(SEALER, "token", sealed.replace(HEAD, HEAD + "\n"))


@pytest.mark.parametrize("kind", ["state", "", "Token", "token "])
def test_a_seal_of_one_kind_is_none_of_another(kind: str) -> None:
    refuses(SEALER, kind, SEALED)


def test_another_key_opens_nothing_and_says_that_it_is_another() -> None:
    refuses(Sealer(bytes(32)), "token", SEALED)
    with pytest.raises(SealedElsewhere):
        Sealer(bytes(32)).open("token", SEALED, NOW)


def test_a_seal_that_names_another_key_than_its_own_is_forged() -> None:
    other = Sealer(bytes(32)).seal("token", PAYLOAD, EXPIRES)
    with pytest.raises(Forged) as caught:
        SEALER.open("token", SEALED[: len(HEAD)] + other[len(HEAD) :], NOW)
    assert not isinstance(caught.value, SealedElsewhere)


def test_keys_are_changed_without_losing_what_is_sealed() -> None:
    new = bytes(range(1, 33))
    both = Sealer(new, KEY)
    assert both.open("token", SEALED, NOW) == PAYLOAD
    sealed = both.seal("token", PAYLOAD, EXPIRES)
    assert Sealer(new).open("token", sealed, NOW) == PAYLOAD
    refuses(SEALER, "token", sealed)


def test_the_name_of_a_key_stays_and_says_nothing_of_it() -> None:
    assert Sealer(KEY).seal("state", {}, EXPIRES).startswith(HEAD)
    assert HEAD.encode() not in base64.urlsafe_b64encode(KEY)


@pytest.mark.parametrize("value", [None, 7, b"v1.", ["v1."], ""])
def test_what_is_no_text_does_not_open(value: Any) -> None:
    refuses(SEALER, "token", value)


def test_a_seal_is_worthless_from_the_moment_it_expires_and_yet_no_forgery() -> None:
    assert SEALER.open("token", SEALED, EXPIRES - timedelta(microseconds=1)) == PAYLOAD
    assert SEALER.open("token", SEALED, EXPIRES) is None


def test_the_payload_cannot_be_read() -> None:
    body = SEALED.removeprefix(HEAD)
    assert b"delete_cluster" not in base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))


def test_the_key_shows_nowhere() -> None:
    for shown in (repr(SEALER), str(SEALER)):
        assert "hidden" in shown
        assert KEY.hex() not in shown
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied"):
            copied(SEALER)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Sealer(bytes(31))


def test_processes_share_the_operators_key_and_else_have_their_own() -> None:
    shared = Settings(state_key=SecretStr("0123456789abcdef0123456789abcdef"))
    sealed = sealer_from(shared).seal("token", PAYLOAD, EXPIRES)
    assert sealer_from(shared).open("token", sealed, NOW) == PAYLOAD
    own = sealer_from(Settings(state_key=None))
    assert own.open("token", own.seal("token", PAYLOAD, EXPIRES), NOW) == PAYLOAD
    refuses(sealer_from(Settings(state_key=None)), "token", own.seal("token", PAYLOAD, EXPIRES))
    refuses(own, "token", sealed)
    changing = Settings(state_key=SecretStr(f"{'n' * 32} , 0123456789abcdef0123456789abcdef"))
    assert sealer_from(changing).open("token", sealed, NOW) == PAYLOAD
    assert sealer_from(Settings(state_key=SecretStr("n" * 32))).open(
        "token", sealer_from(changing).seal("token", PAYLOAD, EXPIRES), NOW
    )


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {"x": float("inf")}, {"x": b"bytes"}, {"x": NOW}])
def test_what_is_no_json_is_not_sealed(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        SEALER.seal("token", payload, EXPIRES)


@given(json_values)
def test_canonical_json_is_ascii_and_says_the_same(value: Any) -> None:
    text = canonical(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


def test_canonical_json_does_not_depend_on_the_order_of_names() -> None:
    assert canonical({"b": 1, "a": [1, {"d": 2, "c": 3}]}) == canonical({"a": [1, {"c": 3, "d": 2}], "b": 1})


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - zones are drawn
def test_a_moment_is_a_number_and_back_whatever_its_zone(moment: datetime) -> None:
    assert moment_at(ticks(moment)) == moment.astimezone(UTC)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        ticks(datetime(2026, 3, 1, 12, 0))  # noqa: DTZ001 - the point of the test


# What only a holder of the key can say


def test_a_proof_is_of_its_kind_its_text_and_its_key() -> None:
    sealer, proof = Sealer(b"k" * 32), Sealer(b"k" * 32).proof("link", "7K4M-Q2XD")
    assert re.fullmatch("[a-z2-7]{26}", proof)
    assert sealer.proves("link", "7K4M-Q2XD", proof)
    for kind, text, other in (
        ("another", "7K4M-Q2XD", proof),
        ("link", "7K4M-Q2XE", proof),
        ("link", "7K4M-Q2XD", proof[:-1]),
        ("link", "7K4M-Q2XD", ""),
        ("link", "7K4M-Q2XD", "\ud800é"),
    ):
        assert not sealer.proves(kind, text, other)
    assert not Sealer(b"K" * 32).proves("link", "7K4M-Q2XD", proof)


def test_a_proof_by_an_older_key_still_counts_while_servers_change_keys() -> None:
    proof = Sealer(b"k" * 32).proof("link", "7K4M-Q2XD")
    assert Sealer(b"n" * 32, b"k" * 32).proves("link", "7K4M-Q2XD", proof)
    assert Sealer(b"n" * 32, b"k" * 32).proof("link", "7K4M-Q2XD") != proof
