"""A request to a cluster's API: its path, its query, its body, and in which form the answer is wanted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ap_mcp.simulator.kubernetes import patches, protobuf
from ap_mcp.simulator.kubernetes.reviews import User
from ap_mcp.simulator.kubernetes.statuses import bad_request, not_acceptable, unsupported_media_type

JSON, YAML = "application/json", "application/yaml"
TABLE, PARTIAL, WHOLE = "Table", "PartialObjectMetadata", ""
AGGREGATED = "APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an answer shall be: whole objects, a Table, their metadata alone, or discovery all at once."""

    shape: str = WHOLE
    version: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; header names are in lower case, and path segments decoded."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    user: User = field(default_factory=lambda: User("unknown"))

    @property
    def agent(self) -> str:
        """The User-Agent."""
        return self.headers.get("user-agent", "unknown")

    @property
    def media_type(self) -> str:
        """The media type of the body, JSON if none is named."""
        return self.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON

    def flag(self, name: str) -> bool:
        """Say whether the query sets a flag."""
        return self.query.get(name) in ("true", "1", "")

    def number(self, name: str) -> int:
        """Return a number of the query, 0 if it is not there.

        Raises:
            StatusError: 400 for what is no number.
        """
        text = self.query.get(name, "")
        if text and not text.lstrip("-").isdecimal():
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text or 0)

    def content(self) -> Any:
        """Read the body.

        Raises:
            StatusError: 415 for an unknown media type, 400 for what cannot be read.
        """
        if not self.body:
            return None
        if self.media_type == protobuf.MEDIA_TYPE:
            return protobuf.decoded(self.body)
        if self.media_type not in (JSON, YAML, *patches.PATCHES):
            raise unsupported_media_type([JSON, YAML, protobuf.MEDIA_TYPE])
        try:
            if self.media_type in (YAML, patches.APPLY_PATCH):
                value = yaml.load(self.body, _Loader)  # noqa: S506 - a safe one
                return json.loads(json.dumps(value, default=str))
            return json.loads(self.body)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            what = "yaml" if "yaml" in self.media_type else "json"
            raise bad_request(f"couldn't get version/kind; {what} parse error: {error}") from error

    def accepted(self) -> Accepted:
        """Choose the form of the answer.

        Raises:
            StatusError: 406 if none that is wanted can be made.
        """
        wanted = self.headers.get("accept", "") or JSON
        for each in wanted.split(","):
            media_type, *parameters = (part.strip() for part in each.split(";"))
            traits = dict(part.partition("=")[::2] for part in parameters)
            if media_type in (JSON, "*/*", "application/*"):
                return Accepted(traits.get("as", WHOLE).removesuffix("List" if "Partial" in each else ""),
                                traits.get("v", ""))  # fmt: skip
        raise not_acceptable([JSON])


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: moments stay text."""


_Loader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
