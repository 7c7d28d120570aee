"""Parameters of well-known charts, which of them are secrets, and how many are masked as they should be."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ap_mcp.masking import PLACEHOLDER, mask

DATA = Path(__file__).parents[1] / "data" / "chart_parameters.tsv"
SECRETS: dict[str, Any] = {
    "words": "correct-horse-battery",
    "random": "Zq7-Vn3xKp9w",
    "hex": "9f2c4b7ad1e84f0ab6d3c5e7f8091a2b",
    "base64": "c3VwZXItc2VjcmV0LXBhc3N3b3JkLXZhbHVl",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "license": "eyJsaWNlbnNlIjoiMDAwMSJ9.Zq7Vn3xKp9wZq7Vn3xKp9w",
    "list": ["Pw-one-11", "Pw-two-22"],
}
"""Made-up secrets, by their kind."""


@dataclass(frozen=True)
class Row:
    """One parameter of a chart.

    Attributes:
        chart: whose it is.
        parameter: its name with dots.
        is_secret: whether its value must not show.
        value: the kind of a secret, or a value that must stay.
    """

    chart: str
    parameter: str
    is_secret: bool
    value: str

    @property
    def secret(self) -> Any:
        """Return a secret of that kind."""
        return SECRETS[self.value]

    @property
    def tree(self) -> dict[str, Any]:
        """Return values that hold this parameter alone."""
        return nested(self.parameter, self.secret if self.is_secret else _loaded(self.value))


@dataclass
class Measured:
    """How many were masked as they should be."""

    hidden: int = 0
    leaks: list[str] = field(default_factory=list)
    hidden_needlessly: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """Share of the secrets that are hidden."""
        return self.hidden / (self.hidden + len(self.leaks))

    @property
    def precision(self) -> float:
        """Share of secrets in what is hidden."""
        return self.hidden / (self.hidden + len(self.hidden_needlessly))


def nested(parameter: str, value: Any) -> dict[str, Any]:
    """Return values that hold one parameter."""
    for name in reversed(parameter.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def measured(rows: Iterable[Row]) -> Measured:
    """Mask every parameter by itself."""
    found = Measured()
    for row in rows:
        masked = mask(row.tree)
        name = f"{row.chart} {row.parameter}"
        if not row.is_secret:
            found.hidden_needlessly += [name] if masked != row.tree else []
        elif _shows(masked, row.secret):
            found.leaks.append(name)
        else:
            found.hidden += 1
    return found


def hidden_names(text: str) -> list[str]:
    """Return the lines of a text in which something is hidden."""
    return [line for line in text.splitlines() if PLACEHOLDER in line]


def _shows(masked: Any, secret: Any) -> bool:
    written = json.dumps(masked, ensure_ascii=False)
    return any(
        json.dumps(each, ensure_ascii=False)[1:-1] in written
        for each in ([secret] if isinstance(secret, str) else secret)
    )


def _loaded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _rows() -> list[Row]:
    lines = [line.split("\t") for line in DATA.read_text(encoding="utf-8").splitlines()]
    return [Row(chart, name, expected == "masked", value) for chart, name, expected, value in lines]


TABLE = _rows()
