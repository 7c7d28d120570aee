"""A process remembers each consent that it has taken for as long as one can live, and not for ever."""

from datetime import timedelta

from ap_mcp.guard.lifetimes import LONGEST_LIFETIME
from ap_mcp.state.taken import Taken

A_DAY = LONGEST_LIFETIME.total_seconds()


def test_a_consent_is_taken_once_for_as_long_as_one_can_live() -> None:
    moment = 1000.0
    taken = Taken(lambda: moment)
    assert "one" not in taken
    assert taken.add("one")
    for passed in (0, A_DAY / 2, A_DAY):
        moment = 1000.0 + passed
        assert not taken.add("one")
        assert "one" in taken


def test_what_can_count_no_more_is_forgotten() -> None:
    moment, hour = 0.0, timedelta(hours=1).total_seconds()
    taken = Taken(lambda: moment)
    for number in range(24 * 10):
        moment = number * hour
        assert taken.add(f"{number}")
        assert len(taken) <= A_DAY / hour + 1
    assert [f"{number}" in taken for number in (0, 24 * 9 - 2, 24 * 9 - 1, 24 * 10 - 1)] == [False, False, True, True]
