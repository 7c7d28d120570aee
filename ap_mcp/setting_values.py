"""What the value of one setting may be: each function returns it in its normal form.

Each raises ValueError, which says what the value must be, and repeats nothing of it that may be a password.
"""

import ipaddress
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_core import ErrorDetails
from pydantic_settings import NoDecode

from ap_mcp.late_patterns import later
from ap_mcp.wording import NAME_LIMIT, in_quotes

LOOPBACK = "127.0.0.1"
MOST_PORT = 65535
USUAL_PORTS = {"http": 80, "https": 443}
"""The port of an address that names none."""
_HOST = later(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\]", re.IGNORECASE)
_PORT = later(r"[0-9]{1,5}")
_BASE_PATH = later(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
# What ends the host of a web address, or cannot stand in one: in a password it must be percent-encoded.
_NOT_IN_PASSWORD = later(r"[/?#\\\[\]\s\x00-\x1f\x7f]")

_OUR_WORDS = {
    "a valid boolean": "true or false",
    "a valid tuple": "a text with commas, or a list of texts",
    "a valid dictionary": "a table",
    "a valid integer": "an integer",
    "a valid ": "a ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
}
"""What pydantic says, and what people read."""


def is_loopback(host: str) -> bool:
    """Say whether `host` is this very machine, so that plain http stays on it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def in_our_words(detail: ErrorDetails) -> str:
    """Return what pydantic says of a value, as we say it: "must be …"."""
    message = detail["msg"].removeprefix("Value error, ")
    message = re.sub(r"^Input should be (.*?)(, unable to .*)?$", r"must be \1", message)
    for theirs, ours in _OUR_WORDS.items():
        message = message.replace(theirs, ours)
    return message


def endpoint(value: str) -> str:
    text = value.strip()
    scheme, separator, rest = text.partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("https", text)
    host, port = _host_and_port(rest.rstrip("/"))
    if not host:
        raise ValueError("must be https://host or https://host:port, without a path")
    if scheme != "https" and not (scheme == "http" and is_loopback(host.strip("[]"))):
        raise ValueError("must start with https:// (http:// is for this machine only, as 127.0.0.1 or localhost)")
    return f"{scheme}://{host}{port}"


def _host_and_port(text: str) -> tuple[str, str]:
    """Return a host in lower case and `:port`, which may be empty; two empty texts if it is anything else."""
    found = _HOST.match(text)
    if found is None:
        return "", ""
    host, rest = found.group().lower(), text[found.end() :]
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return "", ""
    port = rest.removeprefix(":")
    is_port = rest.startswith(":") and _PORT.fullmatch(port) is not None and 0 < int(port) <= MOST_PORT
    return (host, rest) if not rest or is_port else ("", "")


def _host_name(value: str) -> str:
    """Return a host in lower case, with or without a port."""
    host, port = _host_and_port(value)
    if not host:
        raise ValueError("each must be a host, with or without a port, such as mcp.example.com")
    return host + port


def _listener(value: str) -> str:
    """Return where to listen as `host:port`; a port alone is one of this machine's own address."""
    text = value.strip()
    host, port = text.rpartition(":")[::2]
    found, _ = _host_and_port(host or LOOPBACK)
    if not found or _PORT.fullmatch(port) is None or int(port) > MOST_PORT or (not host and ":" in text):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000; port 0 is any free one")
    return f"{found}:{int(port)}"


def _origin(value: str) -> str:
    """Return the origin of a web page in its normal form."""
    scheme, separator, rest = value.strip().lower().partition("://")
    host, port = _host_and_port(rest)
    if scheme not in {"http", "https"} or not separator or not host:
        raise ValueError("each must be http://host or https://host, with a port where there is one, without a path")
    return f"{scheme}://{host}{'' if port == f':{USUAL_PORTS[scheme]}' else port}"


def _public_url(value: str) -> str:
    """Return the address that people and clients use, in its normal form: an origin, and a base path if any."""
    scheme, separator, rest = value.strip().partition("://")
    place, slash, path = rest.partition("/")
    path = (slash + path).rstrip("/")
    if not separator or (path and _BASE_PATH.fullmatch(path) is None):
        raise ValueError("must be https://host, with a port or a plain path behind it where there is one")
    return _origin(endpoint(f"{scheme}://{place}")) + path


def _safe_url(value: str) -> str:
    """Return an address whose answers nobody on the way can change."""
    text = value.strip()
    place = text.partition("://")[2].partition("/")[0]
    try:
        endpoint(text.partition("://")[0] + "://" + place)
    except ValueError:
        place = ""
    if not place or "#" in text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be an address that starts with https:// (http:// is for this machine only)")
    return text


def _issuer(value: str) -> str:
    """Return the address of an issuer of tokens to the letter, for its tokens repeat it so."""
    text = _safe_url(value)
    if "?" in text:
        raise ValueError("must be an address without ? and #")
    return text


def proxy_url(url: str) -> str:
    """Check the address of a proxy; no part of it is repeated, as it may hold a password."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        raise ValueError("must be a URL that starts with http:// or https://")
    user, at, place = rest.rpartition("@")
    if at and _NOT_IN_PASSWORD.search(user):
        raise ValueError(
            "the user or the password holds a character that ends an address: percent-encode it "
            "(/ is %2F, # is %23, ? is %3F, @ is %40, a space is %20)"
        )
    host, port = _host_and_port(place.removesuffix("/"))
    if not host:
        raise ValueError(
            "must be http://host:port or http://user:password@host:port, without a path; "
            "percent-encode what is special in the password (/ is %2F, # is %23, ? is %3F, @ is %40)"
        )
    return f"{scheme.lower()}://{user}{at}{host}{port}"


def check_redis(url: str) -> None:
    """Check the address of a Redis server; no part of it is repeated, as it may hold a password.

    Raises:
        ValueError: it leads nowhere, or asks for what is not offered, such as certificates that are not checked.
    """
    parts = urlsplit(url)
    may_have = {"redis": set[str](), "rediss": {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}, "unix": {"db"}}
    if parts.scheme not in may_have:
        raise ValueError("must be a URL that starts with redis://, rediss:// or unix://")
    if parts.scheme == "unix":
        is_place = parts.path.startswith("/") and not parts.hostname
    else:
        host, _ = _host_and_port(parts.netloc.rpartition("@")[2])
        is_place = bool(host) and (parts.path.removeprefix("/").isdecimal() or parts.path in {"", "/"})
    if not is_place or parts.fragment:
        raise ValueError(
            "must be redis://user:password@host:port/number, rediss:// likewise, or unix:///path/of/the/socket; "
            "percent-encode what is special in the password (/ is %2F, # is %23, ? is %3F, @ is %40)"
        )
    known = may_have[parts.scheme]
    if unknown := {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - known:
        takes = " and ".join(sorted(known)) or "nothing"
        asked = in_quotes(", ".join(sorted(unknown)), NAME_LIMIT)
        raise ValueError(f"{parts.scheme}:// takes {takes} behind its ?, not {asked}")


def _header_word(value: str) -> str:
    """Return a text that can stand in a header: RFC 6749 lets scopes be so."""
    text = value.strip()
    if not text or not text.isascii() or not text.isprintable() or any(char in text for char in ' "\\'):
        raise ValueError('must be printable ASCII without spaces, " and \\')
    return text


def lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def no_profiles(value: Any) -> Any:
    if isinstance(value, dict):
        # pydantic reports no other error.
        raise ValueError(f"says which profiles to use; each of them is a table [profiles.{next(iter(value), 'NAME')}]")  # noqa: TRY004
    return value


def _one_line(value: Any) -> Any:
    """Return several texts, which a file gives as a list, as the one text that a variable holds."""
    return " ".join(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value


def _roots(value: Any) -> Any:
    return tuple(root for root in value.split(os.pathsep) if root.strip()) if isinstance(value, str) else value


def _tables(value: Any) -> Any:
    """Return rules, which a variable holds as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a list of objects in JSON; it reads better in ap-mcp.toml") from None


def keys_in(setting: SecretStr) -> list[str]:
    return [key.strip() for key in setting.get_secret_value().split(",")]


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _existing_file(path: Path) -> Path:
    path = _absolute(path)
    try:
        found = path.is_file()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if not found:
        raise ValueError(f"there is no file {path}")
    return path


def _existing_folder(path: Path) -> Path:
    path = _absolute(path)
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return path.resolve()


def _authorities(path: Path) -> Path:
    """Return the path of a file with certificates, which are read once now: a start is better than a call to fail."""
    path = _existing_file(path)
    import ssl  # noqa: PLC0415 - few servers name such a file

    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificates in PEM form") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


Listener: TypeAlias = Annotated[str, AfterValidator(_listener)]
PublicUrl: TypeAlias = Annotated[str, AfterValidator(_public_url)]
Issuer: TypeAlias = Annotated[str, AfterValidator(_issuer)]
SafeUrl: TypeAlias = Annotated[str, AfterValidator(_safe_url)]
HeaderWord: TypeAlias = Annotated[str, AfterValidator(_header_word)]
AbsolutePath: TypeAlias = Annotated[Path, AfterValidator(_absolute)]
ExistingFile: TypeAlias = Annotated[Path, AfterValidator(_existing_file)]
ExistingFolder: TypeAlias = Annotated[Path, AfterValidator(_existing_folder)]
Authorities: TypeAlias = Annotated[Path, AfterValidator(_authorities)]
OneLine: TypeAlias = Annotated[SecretStr, BeforeValidator(_one_line)]
# A variable holds several values with commas, or folders with colons, between them.
Words: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
HostNames: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_host_name)], ...], NoDecode, BeforeValidator(_words)
]
Origins: TypeAlias = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_words)]
HeaderWords: TypeAlias = Annotated[tuple[HeaderWord, ...], NoDecode, BeforeValidator(_words)]
Folders: TypeAlias = Annotated[tuple[ExistingFolder, ...], NoDecode, BeforeValidator(_roots)]
Tables: TypeAlias = Annotated[tuple[dict[str, Any], ...], NoDecode, BeforeValidator(_tables)]
