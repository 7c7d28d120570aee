"""What requests call servers and web pages, in one form: RFC 9110 and 3986 let the same name be spelt in many."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

from ap_mcp.setting_values import USUAL_PORTS


@dataclass(frozen=True, slots=True)
class Place:
    """A host as a request names it.

    Attributes:
        name: in lower case, without a dot at its end; an address of version 6 in brackets, in its shortest form.
        port: in digits; empty if none is given, which is the usual one of whatever scheme it is.
    """

    name: str
    port: str = ""

    def is_one_of(self, places: Iterable["Place"]) -> bool:
        """Say whether it is one of some places; one without a port fits every port."""
        ports = {self.port} if self.port else set(map(str, USUAL_PORTS.values()))
        return any(self.name == each.name and each.port in {"", *ports} for each in places)


def place_of(host: str) -> Place:
    """Return the place that a Host header names, or a setting that is written like one."""
    named = host.lower()
    name, separator, port = named.rpartition(":")
    if not separator or not (port.isdecimal() or not port):
        name, port = named, ""
    return Place(_shortest(name.removesuffix(".")), port)


def origin_of(text: str) -> str:
    """Return the origin that an Origin header names, or a setting that is written like one."""
    scheme, separator, rest = text.lower().partition("://")
    if not separator:
        return scheme
    place = place_of(rest)
    port = "" if place.port in {"", str(USUAL_PORTS.get(scheme))} else f":{place.port}"
    return f"{scheme}://{place.name}{port}"


def _shortest(name: str) -> str:
    try:
        return f"[{IPv6Address(name[1:-1])}]" if name.startswith("[") and name.endswith("]") else name
    except ValueError:
        return name
