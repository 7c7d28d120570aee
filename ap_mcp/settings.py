"""What the operator decides: one frozen `Settings`, read from AP_MCP_* variables and ap-mcp.toml."""

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ap_mcp.errors import SettingsError
from ap_mcp.late_patterns import later
from ap_mcp.private_files import read_own_text, stamp_of
from ap_mcp.setting_values import (
    AbsolutePath,
    Authorities,
    ExistingFile,
    Folders,
    HeaderWord,
    HeaderWords,
    HostNames,
    Issuer,
    Listener,
    OneLine,
    Origins,
    PublicUrl,
    SafeUrl,
    Tables,
    Words,
    check_redis,
    endpoint,
    in_our_words,
    keys_in,
    lower,
    no_profiles,
    proxy_url,
)
from ap_mcp.specs import SUBJECTS, specs_folder
from ap_mcp.wording import NAME_LIMIT, closest, in_quotes

if TYPE_CHECKING:
    from ap_mcp.webhook_addresses import Address

PREFIX = "AP_MCP_"
CONFIG_FILE = "ap-mcp.toml"
TOKENS_FILE = "tokens.toml"
TOOLSETS = ("all", "essential", *SUBJECTS, "kubernetes")
STATE_KEY_LENGTH = 32
_UNKNOWN_REGION = "unknown_region"
_SDK_ENDPOINT = "HUAWEICLOUD_SDK_REGION_CCE_"
ENDPOINTS = "AP_MCP_ENDPOINT and AP_MCP_IAM_ENDPOINT"
GLOBAL_IAM = "https://iam.myhuaweicloud.com"
TOKEN = "AP_MCP_AUTH_TOKEN"  # noqa: S105 - the name of a variable
KEY_PAIRS = (("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"), ("HW_ACCESS_KEY", "HW_SECRET_KEY"))
USER = ("HW_USER_NAME", "HW_PASSWORD", "HW_DOMAIN_NAME")
CREDENTIALS_FILE = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"
"""The variables that hold credentials, or name the file that does; `credentials` reads them."""
TABLES = frozenset({"profiles"})
"""Settings that are tables of the file and have no variable."""
# Read elsewhere: where the file is, a credential that has no place in a file, and trouble for the simulator to make.
_NOT_FIELDS = frozenset({"AP_MCP_CONFIG", TOKEN, "AP_MCP_SIMULATOR_FAULTS"})
# What other programs of the same user already set, in the order they are read.
_BORROWED = {"region": ("HW_REGION_NAME",), "iam_endpoint": ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "HW_AUTH_URL")}

_PLACEHOLDER = later(r"\s*\$\{[^{}]*\}\s*")

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


def credentials_path(given: str) -> Path:
    """Return where the file with credentials is: where a variable says, or in its usual place."""
    return Path(os.path.expanduser(given or "~/.huaweicloud/credentials"))  # noqa: PTH111 - fails without a home folder


def variables_hold_credentials() -> bool:
    """Say whether a variable for credentials is set, before any is read."""
    return any(map(variable, (TOKEN, *(name for pair in KEY_PAIRS for name in pair), USER[1])))


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


def _cce_endpoint(value: str | None, info: ValidationInfo) -> str | None:
    region = info.data.get("region")
    if value is None and region:
        near = closest(region, regions(), likeness=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(regions()))}."
        raise PydanticCustomError(
            _UNKNOWN_REGION,
            f"there is no region {{region}}; {{hint}} For another one set {ENDPOINTS}",
            {"region": in_quotes(region, NAME_LIMIT), "hint": hint},
        )
    return None if value is None else endpoint(value)


def check_iam_endpoint(value: str) -> str:
    """Return the address of IAM in its normal form; a version at its end is dropped.

    Raises:
        ValueError: it is no https address of a host.
    """
    return endpoint(value.strip().rstrip("/").removesuffix("/v3"))


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


Region: TypeAlias = Annotated[str, BeforeValidator(lower)]
CceEndpoint: TypeAlias = Annotated[str | None, AfterValidator(_cce_endpoint)]
IamEndpoint: TypeAlias = Annotated[str, AfterValidator(check_iam_endpoint)]
KubernetesAccess: TypeAlias = Annotated[Access, BeforeValidator(lower)]


class Settings(BaseSettings):
    """Everything the operator can decide, checked and never changed afterwards."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    _flags: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    profile: Annotated[Words, BeforeValidator(no_profiles)] = ()
    profiles: dict[str, Any] = Field(default_factory=dict, repr=False)
    region: Region | None = None
    endpoint: CceEndpoint = Field(default_factory=region_endpoint, validate_default=True)
    iam_endpoint: IamEndpoint | None = Field(default_factory=region_iam_endpoint, validate_default=True)
    toolsets: Words = ("all",)
    read_only: bool = False
    confirm: Annotated[Confirm, BeforeValidator(lower)] = "human"
    http: Listener | None = None
    public_url: PublicUrl | None = None
    http_hosts: HostNames = ()
    http_origins: Origins = ()
    forms: Annotated[Forms, BeforeValidator(lower)] = "auto"
    policy_file: ExistingFile | None = None
    audit_log: AbsolutePath = Field(
        default_factory=lambda: _user_folder("XDG_STATE_HOME", ".local/state") / "audit.jsonl"
    )
    audit_stderr: bool = False
    approvals_db: AbsolutePath = Field(
        default_factory=lambda: _user_folder("XDG_STATE_HOME", ".local/state") / "approvals.db"
    )
    approver_dir: AbsolutePath = Field(default_factory=lambda: _user_folder("XDG_CONFIG_HOME", ".config"))
    tokens_file: AbsolutePath | None = None
    files_dir: AbsolutePath = Field(default_factory=lambda: _user_folder("XDG_DATA_HOME", ".local/share") / "files")
    chart_roots: Folders = Field(default_factory=_working_folder)
    state_key: SecretStr | None = None
    redis_url: SecretStr | None = None
    redis_replicas: Annotated[int, Field(ge=0, le=16)] = 0
    kubernetes: KubernetesAccess = "gateway"
    timeout: Annotated[float, Field(ge=1, le=600)] = 30.0
    calls_at_once: Annotated[int, Field(ge=1, le=64)] = 16
    rate: Annotated[float, Field(ge=0, le=10_000)] = 20.0
    burst: Annotated[int, Field(ge=1, le=10_000)] = 60
    approval_wait: Annotated[float, Field(ge=0, le=50)] = 0.0
    approval_webhook: OneLine | None = None
    approval_webhook_secret: OneLine | None = None
    max_kubeconfig_days: Annotated[int, Field(ge=1, le=1827)] = 1
    proxy: SecretStr | None = None
    ca_file: Authorities | None = None
    log_level: Annotated[LogLevel, BeforeValidator(lower)] = "warning"
    log_format: Annotated[LogFormat, BeforeValidator(lower)] = "text"
    metrics: Listener | None = None
    oauth_issuer: Issuer | None = None
    oauth_audience: HeaderWord | None = None
    oauth_jwks_url: SafeUrl | None = None
    oauth_scopes: HeaderWords = ()
    oauth_rules: Tables = ()

    def of_flags(self, flags: Mapping[str, Any]) -> Self:
        """Note the flags of the command line that it was read with, and return it."""
        self._flags = flags
        return self

    def where(self, name: str) -> str:
        """Say where a setting came from, as `where_from` does."""
        return where_from(name, self._flags)

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
        if key is not None and any(len(each) < STATE_KEY_LENGTH for each in keys_in(key)):
            each = "each of several keys, with commas between, " if "," in key.get_secret_value() else ""
            least = f"must have at least {STATE_KEY_LENGTH} characters"
            raise ValueError(f"{each}{least}; `openssl rand -hex 32` makes one")
        return key

    @field_validator("redis_url")
    @classmethod
    def _redis_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_redis(url.get_secret_value())
        return url

    @field_validator("proxy")
    @classmethod
    def _proxy_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        return url if url is None else SecretStr(proxy_url(url.get_secret_value()))

    @property
    def state_keys(self) -> tuple[SecretStr, ...]:
        """The keys that seal and open what travels through clients; the first one seals."""
        return tuple(map(SecretStr, keys_in(self.state_key))) if self.state_key else ()

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
        """The region as a person is shown it; with the host where that is not the region's own, or none is set."""
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
        # All variables hold plain text; the source for them asks each field what else it could be, at every start.
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, InitSettingsSource(settings_cls, _from_others() | _from_file() | _from_variables())


def load_settings(**flags: Any) -> Settings:
    """Read the settings; `flags` that are not None win over every other source.

    Raises:
        SettingsError: names every wrong or unknown setting and what it may hold.
    """
    _refuse_unknown_variables()
    warn_of_placeholders(_variables())
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None}).of_flags(flags)
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


def _read_webhooks(addresses: SecretStr, secrets: SecretStr | None) -> "tuple[Address, ...]":
    from ap_mcp.webhook_addresses import read_addresses  # noqa: PLC0415 - few servers have a webhook

    return read_addresses(addresses.get_secret_value(), secrets.get_secret_value() if secrets else "")


def _config_path() -> Path | None:
    given = variable("AP_MCP_CONFIG")
    if given:
        path = Path(given).expanduser()
        if path.is_dir():
            raise SettingsError(f"AP_MCP_CONFIG: {path} is a folder; name the file in it, as {path / CONFIG_FILE}")
        if not path.is_file():
            raise SettingsError(f"AP_MCP_CONFIG: there is no file {path}")
        return path
    # Not the working directory: agents write there, and this file says where signed requests go and who may approve.
    try:
        path = _user_folder("XDG_CONFIG_HOME", ".config") / CONFIG_FILE
    except RuntimeError:
        return None
    return path if path.is_file() else None


def _from_variables() -> dict[str, Any]:
    given = {name.lower(): value for name, value in os.environ.items() if value and not is_unfilled(value)}
    spelt = {name: f"{PREFIX}{name}".lower() for name in Settings.model_fields}
    return {name: given[own] for name, own in spelt.items() if own in given}


def _from_file() -> dict[str, Any]:
    path = _config_path()
    return {} if path is None else _read(path, stamp_of(path))


@lru_cache(maxsize=1)
def _read(path: Path, _stamp: tuple[int, ...]) -> dict[str, Any]:
    """Return what the settings file holds; while it stays as it is, it is read once, however often it is asked for."""
    import tomllib  # noqa: PLC0415 - most servers have no such file

    try:
        return tomllib.loads(read_own_text(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else _no_toml(error)
        raise SettingsError(f"{path.absolute()} cannot be used: {reason}") from None


def log_form() -> str:
    """Return the form of the log as far as it is known before the settings are: they may be wrong."""
    try:
        chosen = variable("AP_MCP_LOG_FORMAT") or _from_file().get("log_format")
    except SettingsError:
        chosen = None
    return "json" if str(chosen).lower() == "json" else "text"


def _no_toml(error: ValueError) -> str:
    """Say where a file is no TOML, and nothing of what stands there: it may be a secret."""
    place = re.search(r"\((at [^()]*)\)$", str(error))
    return "it is no valid TOML" + (f" {place[1]}; texts stand in quotation marks" if place else "")


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
    unknown = [name for name in sorted(os.environ) if name.upper().startswith(PREFIX) and name.upper() not in known]
    # By the prefix that all have, each would be like some other.
    words = {name.removeprefix(PREFIX) for name in known}
    near = {name: closest(name.upper().removeprefix(PREFIX), words, most=1) for name in unknown}
    if unknown:
        hints = {name: f"; did you mean {PREFIX}{found[0]}?" if found else "" for name, found in near.items()}
        every = [] if all(near.values()) else [f"Known: {', '.join(sorted(known))}"]
        problems = (f"- {name} is no setting{hint}" for name, hint in hints.items())
        raise SettingsError("\n".join(["Unknown settings:", *problems, *every]))


def _problem(detail: ErrorDetails, flags: Mapping[str, Any]) -> str:
    message = in_our_words(detail)
    name = "region" if detail["type"] == _UNKNOWN_REGION else str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        near = closest(name.lower().removeprefix(PREFIX.lower()), Settings.model_fields, most=1)
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
