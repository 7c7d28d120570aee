"""What the operator decides: one frozen `Settings`, read from AP_MCP_* variables and ap-mcp.toml."""

import ipaddress
import json
import logging
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ap_mcp.errors import SettingsError
from ap_mcp.private_files import read_own_text
from ap_mcp.specs import SUBJECTS, specs_folder
from ap_mcp.wording import NAME_LIMIT, in_quotes

if TYPE_CHECKING:
    from ap_mcp.webhook_addresses import Address

PREFIX = "AP_MCP_"
CONFIG_FILE = "ap-mcp.toml"
TOKENS_FILE = "tokens.toml"
TOOLSETS = ("all", "essential", *SUBJECTS, "kubernetes")
STATE_KEY_LENGTH = 32
_UNKNOWN_REGION = "unknown_region"
_SDK_ENDPOINT = "HUAWEICLOUD_SDK_REGION_CCE_"
LOOPBACK = "127.0.0.1"
MOST_PORT = 65535
ENDPOINTS = "AP_MCP_ENDPOINT and AP_MCP_IAM_ENDPOINT"
GLOBAL_IAM = "https://iam.myhuaweicloud.com"
TABLES = frozenset({"profiles"})
"""Settings that are tables of the file and have no variable."""
# Read elsewhere: where the file is, a credential that has no place in a file, and trouble for the simulator to make.
_NOT_FIELDS = frozenset({"AP_MCP_CONFIG", "AP_MCP_AUTH_TOKEN", "AP_MCP_SIMULATOR_FAULTS"})
# What other programs of the same user already set, in the order they are read.
_BORROWED = {"region": ("HW_REGION_NAME",), "iam_endpoint": ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "HW_AUTH_URL")}

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\]", re.IGNORECASE)
_PORT = re.compile(r"[0-9]{1,5}")
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_PLACEHOLDER = re.compile(r"\s*\$\{[^{}]*\}\s*")
# What ends the host of a web address, or cannot stand in one: in a password it must be percent-encoded.
_NOT_IN_PASSWORD = re.compile(r"[/?#\\\[\]\s\x00-\x1f\x7f]")

logger = logging.getLogger(__name__)

Confirm: TypeAlias = Literal["human", "approval", "token", "deny"]
Forms: TypeAlias = Literal["auto", "always", "never"]
Access: TypeAlias = Literal["gateway", "direct"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
LogFormat: TypeAlias = Literal["text", "json"]


@cache
def regions() -> Mapping[str, Mapping[str, str | None]]:
    """Return region name → its `cce` and `iam` endpoints; a null `iam` means the global one."""
    path = specs_folder() / "regions.json"
    try:
        found: dict[str, dict[str, str | None]] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read ({error}): reinstall ap-mcp") from error
    return found


def is_unfilled(value: str) -> bool:
    """Say whether a value is what a client leaves of a field that its user did not fill in: `${user_config.region}`."""
    return _PLACEHOLDER.fullmatch(value) is not None


def variable(name: str, environ: Mapping[str, str] | None = None) -> str:
    """Return a variable without the space around it; empty if it is not set, or an unfilled placeholder."""
    value = (os.environ if environ is None else environ).get(name, "").strip()
    return "" if is_unfilled(value) else value


def warn_of_placeholders(names: Iterable[str], environ: Mapping[str, str] | None = None) -> None:
    """Say which of some variables hold a placeholder that was not filled in, and so count as not set."""
    values = os.environ if environ is None else environ
    unfilled = sorted({name for name in names if is_unfilled(values.get(name, ""))})
    if unfilled:
        verb = "holds" if len(unfilled) == 1 else "hold"
        logger.warning(
            "%s %s a placeholder ${...} that the client did not fill in; that counts as not set.",
            ", ".join(unfilled),
            verb,
        )


def is_loopback(host: str) -> bool:
    """Say whether `host` is this very machine, so that plain http stays on it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _endpoint(value: str) -> str:
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


def _listener(value: str) -> str:
    """Return where to listen as `host:port`; a port alone is one of this machine's own address."""
    text = value.strip()
    host, port = text.rpartition(":")[::2]
    found, _ = _host_and_port(host or LOOPBACK)
    if not found or _PORT.fullmatch(port) is None or int(port) > MOST_PORT or (not host and ":" in text):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000; port 0 is any free one")
    return f"{found}:{int(port)}"


def _public_url(value: str) -> str:
    """Return the address that people and clients use, in its normal form: an origin, and a base path if any."""
    scheme, separator, rest = value.strip().partition("://")
    place, slash, path = rest.partition("/")
    path = (slash + path).rstrip("/")
    if not separator or (path and _BASE_PATH.fullmatch(path) is None):
        raise ValueError("must be https://host, with a port or a plain path behind it where there is one")
    return _origin(_endpoint(f"{scheme}://{place}")) + path


def _origin(value: str) -> str:
    """Return the origin of a web page in its normal form."""
    scheme, separator, rest = value.strip().lower().partition("://")
    host, port = _host_and_port(rest)
    if scheme not in {"http", "https"} or not separator or not host:
        raise ValueError("each must be http://host or https://host, with a port where there is one, without a path")
    usual = {"http": ":80", "https": ":443"}[scheme]
    return f"{scheme}://{host}{'' if port == usual else port}"


def _host_name(value: str) -> str:
    """Return a host in lower case, with or without a port."""
    host, port = _host_and_port(value)
    if not host:
        raise ValueError("each must be a host, with or without a port, such as mcp.example.com")
    return host + port


def _cce_endpoint(value: str | None, info: ValidationInfo) -> str | None:
    region = info.data.get("region")
    if value is None and region:
        near = get_close_matches(region, regions(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(regions()))}."
        raise PydanticCustomError(
            _UNKNOWN_REGION,
            f"there is no region {{region}}; {{hint}} For another one set {ENDPOINTS}",
            {"region": in_quotes(region, NAME_LIMIT), "hint": hint},
        )
    return None if value is None else _endpoint(value)


def check_iam_endpoint(value: str) -> str:
    """Return the address of IAM in its normal form; a version at its end is dropped.

    Raises:
        ValueError: it is no https address of a host.
    """
    return _endpoint(value.strip().rstrip("/").removesuffix("/v3"))


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _lines(value: Any) -> Any:
    """Return several texts, which a file gives as a list, as the one text that a variable holds."""
    return " ".join(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value


def _roots(value: Any) -> Any:
    return tuple(root for root in value.split(os.pathsep) if root.strip()) if isinstance(value, str) else value


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


def _keys_in(setting: SecretStr) -> list[str]:
    return [key.strip() for key in setting.get_secret_value().split(",")]


def _existing_folder(path: Path) -> Path:
    path = _absolute(path)
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return path.resolve()


def _issuer(value: str) -> str:
    """Return the address of an issuer of tokens to the letter, for its tokens repeat it so."""
    text = _safe_url(value)
    if "?" in text:
        raise ValueError("must be an address without ? and #")
    return text


def _safe_url(value: str) -> str:
    """Return an address whose answers nobody on the way can change."""
    text = value.strip()
    place = text.partition("://")[2].partition("/")[0]
    try:
        _endpoint(text.partition("://")[0] + "://" + place)
    except ValueError:
        place = ""
    if not place or "#" in text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be an address that starts with https:// (http:// is for this machine only)")
    return text


def _token_text(value: str) -> str:
    """Return a text that can stand in a header: RFC 6749 lets scopes be so."""
    text = value.strip()
    if not text or not text.isascii() or not text.isprintable() or any(char in text for char in ' "\\'):
        raise ValueError('must be printable ASCII without spaces, " and \\')
    return text


def _tables(value: Any) -> Any:
    """Return rules, which a variable holds as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a list of objects in JSON; it reads better in ap-mcp.toml") from None


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _user_folder(variable: str, default: str) -> Path:
    given = os.environ.get(variable, "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / default) / "ap-mcp"


def _working_folder() -> tuple[Path, ...]:
    """Return the folder the server was started in; none if that is the root, which would open the whole disk."""
    folder = Path.cwd()
    return () if folder == Path(folder.anchor) else (folder,)


def region_endpoint(data: dict[str, Any]) -> str | None:
    """Return the endpoint of CCE in the region among other values; None if it is not known."""
    region = data.get("region")
    if not region:
        return None
    override = variable(f"{_SDK_ENDPOINT}{region.upper().replace('-', '_')}")
    return override or regions().get(region, {}).get("cce")


def region_iam_endpoint(data: dict[str, Any]) -> str | None:
    """Return the endpoint of IAM for the region among other values; None if it is not known."""
    known = regions().get(data.get("region") or "")
    return known["iam"] or GLOBAL_IAM if known else None


Region: TypeAlias = Annotated[str, BeforeValidator(_lower)]
CceEndpoint: TypeAlias = Annotated[str | None, AfterValidator(_cce_endpoint)]
IamEndpoint: TypeAlias = Annotated[str, AfterValidator(check_iam_endpoint)]
ExistingFile: TypeAlias = Annotated[Path, AfterValidator(_existing_file)]
KubernetesAccess: TypeAlias = Annotated[Access, BeforeValidator(_lower)]


class Settings(BaseSettings):
    """Everything the operator can decide, checked and never changed afterwards."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    profile: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    profiles: dict[str, Any] = Field(default_factory=dict, repr=False)
    region: Region | None = None
    endpoint: CceEndpoint = Field(default_factory=region_endpoint, validate_default=True)
    iam_endpoint: IamEndpoint | None = Field(default_factory=region_iam_endpoint, validate_default=True)
    toolsets: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ("all",)
    read_only: bool = False
    confirm: Annotated[Confirm, BeforeValidator(_lower)] = "human"
    http: Annotated[str, AfterValidator(_listener)] | None = None
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    http_hosts: Annotated[
        tuple[Annotated[str, AfterValidator(_host_name)], ...], NoDecode, BeforeValidator(_words)
    ] = ()
    http_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_words)] = ()
    forms: Annotated[Forms, BeforeValidator(_lower)] = "auto"
    policy_file: ExistingFile | None = None
    audit_log: Annotated[Path, AfterValidator(_absolute)] = Field(
        default_factory=lambda: _user_folder("XDG_STATE_HOME", ".local/state") / "audit.jsonl"
    )
    audit_stderr: bool = False
    approvals_db: Annotated[Path, AfterValidator(_absolute)] = Field(
        default_factory=lambda: _user_folder("XDG_STATE_HOME", ".local/state") / "approvals.db"
    )
    approver_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        default_factory=lambda: _user_folder("XDG_CONFIG_HOME", ".config")
    )
    tokens_file: Annotated[Path, AfterValidator(_absolute)] | None = None
    files_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        default_factory=lambda: _user_folder("XDG_DATA_HOME", ".local/share") / "files"
    )
    chart_roots: Annotated[
        tuple[Annotated[Path, AfterValidator(_existing_folder)], ...], NoDecode, BeforeValidator(_roots)
    ] = Field(default_factory=_working_folder)
    state_key: SecretStr | None = None
    redis_url: SecretStr | None = None
    redis_replicas: Annotated[int, Field(ge=0, le=16)] = 0
    kubernetes: KubernetesAccess = "gateway"
    timeout: Annotated[float, Field(ge=1, le=600)] = 30.0
    calls_at_once: Annotated[int, Field(ge=1, le=64)] = 16
    rate: Annotated[float, Field(ge=0, le=10_000)] = 20.0
    burst: Annotated[int, Field(ge=1, le=10_000)] = 60
    approval_wait: Annotated[float, Field(ge=0, le=50)] = 0.0
    approval_webhook: Annotated[SecretStr, BeforeValidator(_lines)] | None = None
    approval_webhook_secret: Annotated[SecretStr, BeforeValidator(_lines)] | None = None
    max_kubeconfig_days: Annotated[int, Field(ge=1, le=1827)] = 1
    proxy: SecretStr | None = None
    ca_file: Annotated[Path, AfterValidator(_authorities)] | None = None
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = "warning"
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = "text"
    metrics: Annotated[str, AfterValidator(_listener)] | None = None
    oauth_issuer: Annotated[str, AfterValidator(_issuer)] | None = None
    oauth_audience: Annotated[str, AfterValidator(_token_text)] | None = None
    oauth_jwks_url: Annotated[str, AfterValidator(_safe_url)] | None = None
    oauth_scopes: Annotated[
        tuple[Annotated[str, AfterValidator(_token_text)], ...], NoDecode, BeforeValidator(_words)
    ] = ()
    oauth_rules: Annotated[tuple[dict[str, Any], ...], NoDecode, BeforeValidator(_tables)] = ()

    @field_validator("toolsets")
    @classmethod
    def _known_toolsets(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in TOOLSETS]
        if unknown or not names:
            said = ", ".join(in_quotes(name, NAME_LIMIT) for name in unknown) or "nothing"
            raise ValueError(f"{said} given; each must be one of: {', '.join(TOOLSETS)}")
        return names

    @field_validator("state_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and any(len(each) < STATE_KEY_LENGTH for each in _keys_in(key)):
            each = "each of several keys, with commas between, " if "," in key.get_secret_value() else ""
            least = f"must have at least {STATE_KEY_LENGTH} characters"
            raise ValueError(f"{each}{least}; `openssl rand -hex 32` makes one")
        return key

    @field_validator("redis_url")
    @classmethod
    def _redis_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _check_redis(url.get_secret_value())
        return url

    @field_validator("proxy")
    @classmethod
    def _proxy_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        return url if url is None else SecretStr(_proxy(url.get_secret_value()))

    @property
    def state_keys(self) -> tuple[SecretStr, ...]:
        """The keys that seal and open what travels through clients; the first one seals."""
        return tuple(map(SecretStr, _keys_in(self.state_key))) if self.state_key else ()

    @field_validator("approval_webhook", "approval_webhook_secret")
    @classmethod
    def _webhooks(cls, given: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if given is not None and info.field_name == "approval_webhook":
            _read_webhooks(given, None)
        elif given is not None and "approval_webhook" in info.data:  # else that is wrong, which is said already
            if info.data["approval_webhook"] is None:
                raise ValueError("is for webhooks, and AP_MCP_APPROVAL_WEBHOOK names none")
            _read_webhooks(info.data["approval_webhook"], given)
        return given

    @property
    def webhooks(self) -> "tuple[Address, ...]":
        """Where questions that wait for a person are posted."""
        if self.approval_webhook is None:
            return ()
        return _read_webhooks(self.approval_webhook, self.approval_webhook_secret)

    @property
    def place(self) -> str:
        """The region as a person is told of it; with the host where that is not the region's own, or none is set."""
        endpoint = self.endpoint or ""
        known = regions().get(self.region or "", {}).get("cce")
        host = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").netloc
        if not self.region:
            return host or "not set"
        return self.region if endpoint == known or not host else f"{self.region} at {host}"

    @property
    def tokens_path(self) -> Path:
        """The file of those who may call over HTTP with a token, whether it is there or not.

        Raises:
            SettingsError: none is set, and the user has no folder for settings.
        """
        if self.tokens_file is not None:
            return self.tokens_file
        try:
            return _user_folder("XDG_CONFIG_HOME", ".config") / TOKENS_FILE
        except RuntimeError as error:
            raise SettingsError(f"{error} Set HOME, or AP_MCP_TOKENS_FILE.") from None

    @property
    def iam_endpoint_given(self) -> bool:
        """Whether somebody chose the IAM endpoint, so that a credentials file does not."""
        return "iam_endpoint" in self.model_fields_set

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags come before variables, these before the file, and that before what other programs set."""
        del dotenv_settings, file_secret_settings
        if isinstance(env_settings, EnvSettingsSource):
            values = env_settings.env_vars
            env_settings.env_vars = {name: value for name, value in values.items() if not is_unfilled(value or "")}
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, _from_file()),
            InitSettingsSource(settings_cls, _from_others()),
        )


def load_settings(**flags: Any) -> Settings:
    """Read the settings; `flags` that are not None win over every other source.

    Raises:
        SettingsError: names every wrong or unknown setting and what it may hold.
    """
    _refuse_unknown_variables()
    warn_of_placeholders(_variables())
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems = [_problem(detail, flags) for detail in details if detail["type"] != "default_factory_not_called"]
        raise SettingsError("\n".join(["Wrong settings:", *(f"- {problem}" for problem in problems)])) from None
    except (RuntimeError, OSError) as error:
        folders = "AP_MCP_FILES_DIR, AP_MCP_AUDIT_LOG, AP_MCP_APPROVALS_DB and AP_MCP_APPROVER_DIR"
        raise SettingsError(f"{error} Set HOME, or {folders}.") from None


def _variables() -> set[str]:
    """Return the variables that hold settings, ours and those of other programs, as they are spelt here."""
    others = {name for names in _BORROWED.values() for name in names}
    return {name for name in os.environ if name.upper().startswith((PREFIX, _SDK_ENDPOINT)) or name in others}


def _proxy(url: str) -> str:
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


def _check_redis(url: str) -> None:
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


def _read_webhooks(addresses: SecretStr, secrets: SecretStr | None) -> "tuple[Address, ...]":
    from ap_mcp.webhook_addresses import read_addresses  # noqa: PLC0415 - few servers have a webhook

    return read_addresses(addresses.get_secret_value(), secrets.get_secret_value() if secrets else "")


def _config_path() -> Path | None:
    given = variable("AP_MCP_CONFIG")
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise SettingsError(f"AP_MCP_CONFIG: there is no file {path}")
        return path
    # Not the working directory: agents write there, and this file says where signed requests go and who may approve.
    try:
        path = _user_folder("XDG_CONFIG_HOME", ".config") / CONFIG_FILE
    except RuntimeError:
        return None
    return path if path.is_file() else None


def _from_file() -> dict[str, Any]:
    path = _config_path()
    if path is None:
        return {}
    try:
        return tomllib.loads(read_own_text(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no valid TOML"
        raise SettingsError(f"{path.absolute()} cannot be used: {reason}") from None


def profile_tables() -> Mapping[str, Any]:
    """Return the tables of profiles in the settings file, as they stand there; none if there is no such file.

    Raises:
        SettingsError: the file cannot be read.
    """
    found = _from_file().get("profiles", {})
    return found if isinstance(found, dict) else {}


def is_given(name: str) -> bool:
    """Say whether a setting is one of ours, not one that was borrowed from another program."""
    path = _config_path()
    return bool(variable(PREFIX + name.upper())) or (path is not None and name in _from_file())


def _from_others() -> dict[str, str]:
    found = {
        field: next((value for name in names if (value := variable(name))), "") for field, names in _BORROWED.items()
    }
    return {field: value for field, value in found.items() if value}


def _refuse_unknown_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields if name not in TABLES} | _NOT_FIELDS
    problems = []
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1)
            problems.append(f"- {name} is no setting" + (f"; did you mean {near[0]}?" if near else ""))
    if problems:
        raise SettingsError("\n".join(["Unknown settings:", *problems, f"Known: {', '.join(sorted(known))}"]))


def _problem(detail: ErrorDetails, flags: Mapping[str, Any]) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:] if message.startswith("Input") else message
    name = "region" if detail["type"] == _UNKNOWN_REGION else str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        near = get_close_matches(name, Settings.model_fields, n=1)
        message = "no such setting" + (f"; did you mean {near[0]}?" if near else "")
    return f"{where_from(name, flags)}: {message}"


def where_from(name: str, flags: Mapping[str, Any]) -> str:
    """Say where a setting came from, so that the operator fixes the right place.

    Args:
        name: of the setting.
        flags: those of the command line, by setting.
    """
    own = PREFIX + name.upper()
    if flags.get(name) is not None:
        return f"--{name.replace('_', '-')}"
    if variable(own):
        return own
    path = _config_path()
    if path is not None and name in _from_file():
        return f"{name} in {path.absolute()}"
    others = _BORROWED.get(name, ())
    if name == "endpoint":
        others = tuple(other for other in os.environ if other.startswith(_SDK_ENDPOINT))
    return next((other for other in others if variable(other)), own)
