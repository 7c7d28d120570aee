"""What an agent reads about log configuration and feature gates."""

from typing import Any

import pytest

from ap_mcp.specs import Catalog
from ap_mcp.summaries import Observation, summarise


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {
                "ttl_in_days": 30,
                "log_configs": [{"name": "audit", "enable": False}, {"name": "coredns", "enable": True}],
            },
            "1 of 2 logs collected, kept for 30 days. Not collected: audit.",
        ),
        (
            {"ttl_in_days": "1", "log_configs": [{"name": "audit", "enable": "true"}]},
            "1 of 1 log collected, kept for 1 day.",
        ),
        ({"log_configs": [{"name": "audit"}]}, "1 log."),
        ({"log_configs": []}, "0 of 0 logs collected."),
    ],
)
def test_the_logs_that_are_collected_are_reported(catalog: Catalog, body: Any, said: str) -> None:
    assert summarise(Observation(catalog["get_log_config"], {}, body)).summary == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"spec": {"A": True, "B": {"c": 1}, "D": "on"}}, "3 feature gates: A=true, B=\"{'c':1}\", D=on."),
        ({"spec": {"A": 1}}, "1 feature gate: A=1."),
        ({"spec": []}, "0 feature gates."),
        ({"spec": None}, "0 feature gates."),
    ],
)
def test_feature_gates_are_reported_whatever_their_values_are(catalog: Catalog, body: Any, said: str) -> None:
    assert summarise(Observation(catalog["get_feature_gates"], {}, body)).summary == said
