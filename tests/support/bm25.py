"""Searches tools by words as hosts do that load them on demand."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import log

from mcp_types import Tool


class Bm25:
    """Okapi BM25 with its usual constants, which is what hosts search tools by."""

    def __init__(self, texts: Mapping[str, list[str]], k1: float = 1.5, b: float = 0.75) -> None:
        self.counts = {name: Counter(text) for name, text in texts.items()}
        self.mean = sum(len(text) for text in texts.values()) / len(texts)
        self.k1, self.b = k1, b

    def ranked(self, query: Iterable[str]) -> list[str]:
        """Return all names, the best first; of equal ones the first by name."""
        scores = {name: sum(self._score(word, counts) for word in query) for name, counts in self.counts.items()}
        return sorted(scores, key=lambda name: (-scores[name], name))

    def _score(self, word: str, counts: Counter[str]) -> float:
        holding = sum(word in each for each in self.counts.values())
        rarity = log(1 + (len(self.counts) - holding + 0.5) / (holding + 0.5))
        length = 1 - self.b + self.b * counts.total() / self.mean
        return rarity * counts[word] * (self.k1 + 1) / (counts[word] + self.k1 * length)


def words(text: str) -> list[str]:
    """Return the words of a text; no ending is cut off, for most hosts cut off none."""
    return re.findall(r"[a-z0-9]+", text.lower())


def searched(tool: Tool) -> str:
    arguments = tool.input_schema["properties"]
    described = [f"{name} {schema.get('description', '')}" for name, schema in arguments.items()]
    return " ".join([tool.name, tool.title or "", tool.description or "", *described])
