"""What the path of a request names: a kind, and where in it."""

from dataclasses import dataclass, replace

from ap_mcp.simulator.kubernetes.asking import Asked
from ap_mcp.simulator.kubernetes.conversions import stored_kind
from ap_mcp.simulator.kubernetes.kinds import Kind


@dataclass(frozen=True, slots=True)
class Place:
    """A kind, a namespace unless everywhere, an object unless all of them, and a part of it unless the whole."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def stored(self) -> "Place":
        """The same in the version that objects are kept in."""
        return replace(self, kind=stored_kind(self.kind))

    def verb(self, asked: Asked) -> str:
        """Return what a request wants, in the words of access rules."""
        if asked.method == "GET" and not self.name:
            return "watch" if "watch" in asked.query and asked.flag("watch") else "list"
        if asked.method == "DELETE" and not self.name:
            return "deletecollection"
        verbs = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        return verbs.get(asked.method, "")
