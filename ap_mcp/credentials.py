"""Where keys come from: the environment, a credentials file, or the agency of the cloud server we run on."""

import configparser
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from pydantic import SecretStr

from ap_mcp.errors import CredentialsMissing, SettingsError
from ap_mcp.late_patterns import later
from ap_mcp.private_files import read_own_text
from ap_mcp.settings import (
    CREDENTIALS_FILE,
    KEY_PAIRS,
    TOKEN,
    USER,
    check_iam_endpoint,
    credentials_path,
    variable,
    warn_of_placeholders,
)

METADATA_ENDPOINT = "http://169.254.169.254"
FILE_SECTION = "basic"
AGENCY = "agency of the cloud server"
_STAND_IN = later(r"\$\{[^{}]*\}|\$\w+|\{\{.*\}\}|<.*>|%\w+%")
"""What files hold where another program, or a person, was to put a value; no value of ours looks so."""
_NAME_OF_PROJECT = later(r"[a-z]{2}-[a-z]+-[0-9]{1,3}(?:_.*)?")
"""A region, which is the name of its first project too, and before the names of others in it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key pair that signs requests; temporary ones carry a security token and an end."""

    access_key: str
    secret_key: SecretStr
    security_token: SecretStr | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Password:
    """An IAM user whose password is exchanged for a token."""

    user: str
    password: SecretStr
    domain: str


@dataclass(frozen=True, slots=True)
class GivenToken:
    """An IAM token that another program fetched."""

    token: SecretStr


@dataclass(frozen=True, slots=True)
class Agency:
    """The agency of the cloud server we run on, whose temporary keys are asked for when first needed."""

    searched: tuple[str, ...] = ()


Identity: TypeAlias = AccessKey | Password | GivenToken | Agency


@dataclass(frozen=True, slots=True)
class Places:
    """Where credentials are searched: in all the usual places, unless one is named, which then is the only one.

    Attributes:
        prefix: what stands before the name of each variable.
        file: that holds an access key.
        section: of that file.
        agency: that of the cloud server we run on.
    """

    prefix: str = ""
    file: Path | None = None
    section: str = FILE_SECTION
    agency: bool = False

    @property
    def one_is_named(self) -> bool:
        """Whether one place is the only one."""
        return bool(self.prefix or self.file or self.agency)


USUAL_PLACES = Places()


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who calls, for which project, where that was found, and by which setting another project is chosen."""

    identity: Identity
    source: str
    project_id: str | None = None
    project_name: str | None = None
    domain_id: str | None = None
    iam_endpoint: str | None = None
    token_source: str = ""
    project_setting: str = "HUAWEICLOUD_SDK_PROJECT_ID"

    @property
    def advice(self) -> str:
        """What the operator should check when the service does not accept who calls; shows no value."""
        identity = self.identity
        if isinstance(identity, GivenToken):
            return (
                f"The token of {self.source} is sent as it is: it ends 24 hours after it was issued and is not renewed "
                "here. Set a fresh one, or use an access key."
            )
        if isinstance(identity, Password):
            return f"The token is obtained with {self.source}: check them, and that this user may use the API."
        if isinstance(identity, Agency):
            return "Requests are signed with temporary keys of this cloud server's agency: check that it still exists."
        if identity.security_token is not None:
            return (
                f"Requests are signed with the temporary keys of {self.source}, with {self.token_source}: all end "
                "together, after a day at most. Set fresh ones together, or use a permanent key."
            )
        return f"Requests are signed with {self.source}: check both.{mixed_up(identity)}"


def mixed_up(key: AccessKey) -> str:
    """Ask whether access key and secret key are swapped, if they have that form: the secret one is twice as long."""
    secret = key.secret_key.get_secret_value()
    if key.access_key == secret:
        return " They hold the same value."
    is_swapped = len(key.access_key) > len(secret)
    return " Are they swapped? The access key (AK) is the shorter one." if is_swapped else ""


@dataclass(frozen=True, slots=True)
class _Pair:
    """The variables of one family of tools that hold a key pair."""

    access: str
    secret: str
    token: str

    def prefixed(self, prefix: str) -> "_Pair":
        return _Pair(prefix + self.access, prefix + self.secret, prefix + self.token)


_PAIRS = (
    _Pair(*KEY_PAIRS[0], "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    _Pair(*KEY_PAIRS[1], "HW_SECURITY_TOKEN"),
)
_PROJECT_ID, _PROJECT_NAME, _DOMAIN_ID = "HUAWEICLOUD_SDK_PROJECT_ID", "HW_PROJECT_NAME", "HUAWEICLOUD_SDK_DOMAIN_ID"
_VARIABLES = (
    *(name for pair in _PAIRS for name in (pair.access, pair.secret, pair.token)),
    *(TOKEN, *USER, _PROJECT_ID, _PROJECT_NAME, _DOMAIN_ID, CREDENTIALS_FILE),
)


def find_credentials(environ: Mapping[str, str] | None = None, places: Places = USUAL_PLACES) -> Credentials:
    """Return the first complete credentials; without any, those of the server's agency, which only use can prove.

    Args:
        environ: the variables; those of this process if not given.
        places: where to search.

    Raises:
        SettingsError: a place holds one half of a pair, or the credentials file cannot be read.
        CredentialsMissing: the one place that was named holds none.
    """
    environ = os.environ if environ is None else environ
    if places.agency:
        return Credentials(Agency(("the agency of the cloud server is the only place named",)), AGENCY)
    prefix = places.prefix
    names = () if places.file else tuple(prefix + name for name in _VARIABLES)
    warn_of_placeholders(names, environ)
    values = {name: variable(name, environ) for name in names}
    pairs = [pair.prefixed(prefix) for pair in _PAIRS]
    found = _from_variables(values, prefix)
    if found is None and not prefix:
        found = _from_file(places.file or _file_path(values), places.section)
    if found is None and places.one_is_named:
        raise CredentialsMissing(_named_places(places))
    identity, source, extras = found or (Agency(_places(values)), AGENCY, {})
    tokens = {f"{pair.access} and {pair.secret}": pair.token for pair in pairs}
    return Credentials(
        identity=identity,
        source=source,
        project_id=_project_id(values.get(prefix + _PROJECT_ID, ""), prefix + _PROJECT_ID)
        or _project_id(extras.get("project_id", ""), f"project_id in {source}"),
        project_name=values.get(prefix + _PROJECT_NAME) or None,
        domain_id=values.get(prefix + _DOMAIN_ID) or None,
        iam_endpoint=_iam_endpoint(extras.get("iam_endpoint", ""), source),
        token_source=tokens.get(source, "its security_token"),
        project_setting=prefix + _PROJECT_ID,
    )


_Found: TypeAlias = tuple[Identity, str, Mapping[str, str]]


def _from_variables(values: Mapping[str, str], prefix: str) -> _Found | None:
    token, names = prefix + TOKEN, tuple(prefix + name for name in USER)
    if values.get(token):
        return GivenToken(_secret(values[token], token)), token, {}
    for pair in (pair.prefixed(prefix) for pair in _PAIRS):
        _refuse_halves(values, (pair.access, pair.secret))
        if values.get(pair.access):
            key = _access_key(
                values[pair.access], values[pair.secret], values.get(pair.token, ""), f"{pair.access}/{pair.secret}"
            )
            if key.security_token is None:
                _warn_of_tokens_of_others(values, pair, prefix)
            return key, f"{pair.access} and {pair.secret}", {}
    if values.get(names[1]):
        _refuse_halves(values, names)
        user, password, domain = (values[name] for name in names)
        return Password(user, SecretStr(password), domain), ", ".join(names), {}
    return None


def _warn_of_tokens_of_others(values: Mapping[str, str], used: _Pair, prefix: str) -> None:
    for other in (pair.prefixed(prefix) for pair in _PAIRS):
        if values.get(other.token) and not values.get(other.access) and not values.get(other.secret):
            logger.warning(
                "%s is set, but it is not used: it goes with %s and %s. If the keys of %s and %s are temporary ones, "
                "put their token into %s.",
                *(other.token, other.access, other.secret, used.access, used.secret, used.token),
            )


def _from_file(path: Path, section_name: str = FILE_SECTION) -> _Found | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        text = read_own_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeError) as error:
        reason = (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SettingsError(f"Credentials file {path} cannot be used: {reason}.") from None
    try:
        parser.read_string(text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next((number for number, _ in getattr(error, "errors", ())), "?")
        raise SettingsError(f"Credentials file {path} is no valid INI file: see line {line}.") from None
    if not parser.has_section(section_name):
        return None
    section = {name: value.strip() for name, value in parser.items(section_name)}
    if not section.get("ak") and not section.get("sk"):
        return None
    where = f"in [{section_name}] of {path}"
    if unfilled := [name for name in _OF_FILE if _STAND_IN.fullmatch(section.get(name, ""))]:
        raise SettingsError(
            f"{', '.join(unfilled)} {where}: this is a placeholder that nothing has filled in; the value itself must "
            "stand there, for no variables are read in this file."
        )
    _refuse_halves(section, ("ak", "sk"), f" {where}")
    key = _access_key(section["ak"], section["sk"], section.get("security_token", ""), str(path))
    return key, str(path), section


_OF_FILE = ("ak", "sk", "security_token", "project_id", "iam_endpoint")


def _file_path(values: Mapping[str, str]) -> Path:
    return credentials_path(values.get(CREDENTIALS_FILE, ""))


def _places(values: Mapping[str, str]) -> tuple[str, ...]:
    return (*_variable_places(""), _file_place(_file_path(values), FILE_SECTION))


def _named_places(places: Places) -> tuple[str, ...]:
    """Return what was searched where one place is the only one."""
    return (_file_place(places.file, places.section),) if places.file else _variable_places(places.prefix)


def _variable_places(prefix: str) -> tuple[str, ...]:
    pairs = [pair.prefixed(prefix) for pair in _PAIRS]
    return (
        f"{prefix}{TOKEN} (an IAM token): not set",
        *(f"{pair.access} and {pair.secret}: not set" for pair in pairs),
        f"{', '.join(prefix + name for name in USER)} (an IAM user): not set",
    )


def _file_place(path: Path, section: str) -> str:
    state = f"no [{section}] section with ak and sk in it" if path.is_file() else "no such file"
    return f"{path}: {state}"


def _iam_endpoint(value: str, source: str) -> str | None:
    try:
        return check_iam_endpoint(value) if value else None
    except ValueError as error:
        raise SettingsError(f"iam_endpoint in {source}: {error}.") from None


def _project_id(value: str, where: str) -> str | None:
    """Return the id of a project, which becomes a part of addresses; None if none is given."""
    if _NAME_OF_PROJECT.fullmatch(value):
        raise SettingsError(
            f"{where}: this is the name of a region or of a project in it, not the id of a project, which is 32 digits "
            "and letters a-f. Leave it out for the region's first project, or give a name in HW_PROJECT_NAME."
        )
    plain = value.replace("-", "").replace("_", "")
    if value and not (plain.isascii() and plain.isalnum()):
        raise SettingsError(f"{where}: this is no id of a project, which is 32 digits and letters a-f (quotes?).")
    return value or None


def _refuse_halves(values: Mapping[str, str], names: tuple[str, ...], where: str = "") -> None:
    present = [name for name in names if values.get(name)]
    missing = [name for name in names if not values.get(name)]
    if present and missing:
        raise SettingsError(
            f"Credentials are incomplete: {', '.join(present)} set, but {', '.join(missing)} not{where}. "
            "Set all of them or none."
        )


def _access_key(access: str, secret: str, token: str, where: str) -> AccessKey:
    return AccessKey(
        _secret(access, where).get_secret_value(), _secret(secret, where), _secret(token, where) if token else None
    )


def _secret(value: str, where: str) -> SecretStr:
    """Wrap a value that goes into a header; one with a line break or other unusual characters would not arrive."""
    if not value.isascii() or not value.isprintable() or any(char in value for char in " \"'"):
        raise SettingsError(f"{where}: the value holds characters that no key has (a line break, a space or quotes?).")
    return SecretStr(value)
