"""The operator's profiles: several accounts and regions behind one server, each a table of ap-mcp.toml."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ap_mcp.credentials import FILE_SECTION, USUAL_PLACES, Agency, Credentials, Places, find_credentials
from ap_mcp.errors import SettingsError
from ap_mcp.setting_values import ExistingFile, in_our_words
from ap_mcp.settings import (
    ENDPOINTS,
    CceEndpoint,
    IamEndpoint,
    KubernetesAccess,
    Region,
    Settings,
    is_given,
    region_endpoint,
    region_iam_endpoint,
)
from ap_mcp.wording import NAME_LIMIT, closest, in_quotes

PLACE = ("region", "endpoint", "iam_endpoint")
"""The settings that say where calls go: of each profile its own."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,30}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ID = re.compile(r"[0-9a-f]{32}")
_SECRET = re.compile(r"(?:^|_)(?:ak|sk|key|secret|password|token)(?:$|_)", re.IGNORECASE)
_NO_KEYS = "keys have no place in this file: set them as variables and name their env_prefix, or a credentials_file"
_FORM = "must be 1 to 32 letters, digits, - and _, with a letter or digit at both ends"


def _prefix(value: Any) -> Any:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value) or value.upper().startswith("AP_MCP_"):
        raise ValueError("must be the beginning of names of variables, such as EU_ for EU_HUAWEICLOUD_SDK_AK")
    return value


class Table(BaseModel):
    """One table `[profiles.NAME]`, checked.

    Attributes:
        project: its id, or its name.
        env_prefix: what stands before the names of the variables that hold its credentials.
        credentials_file: holds its access key, in the section `credentials_section`.
        agency: its credentials are those of the agency of the cloud server we run on.
        policy_file: rules for this profile, beside those for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    region: Region | None = None
    endpoint: CceEndpoint = Field(default_factory=region_endpoint, validate_default=True)
    iam_endpoint: IamEndpoint | None = Field(default_factory=region_iam_endpoint, validate_default=True)
    project: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    env_prefix: Annotated[str, BeforeValidator(_prefix)] = ""
    credentials_file: Path | None = None
    credentials_section: Annotated[str, Field(min_length=1)] = FILE_SECTION
    agency: bool = False
    policy_file: ExistingFile | None = None
    read_only: bool = False
    kubernetes: KubernetesAccess | None = None

    def misfits(self) -> Iterator[str]:
        """Find what is wrong with the table as a whole."""
        if self.endpoint is None:
            yield 'region: is missing; for instance region = "ap-southeast-1"'
        elif self.iam_endpoint is None:
            yield "iam_endpoint: is missing; it is known for regions of Huawei Cloud only"
        ways = [name for name in ("env_prefix", "credentials_file", "agency") if getattr(self, name)]
        if len(ways) > 1:
            yield f"{' and '.join(ways)}: each names the only place of the credentials; keep one of them"
        if "credentials_section" in self.model_fields_set and self.credentials_file is None:
            yield "credentials_section: goes with credentials_file"

    @property
    def places(self) -> Places:
        """Where its credentials are."""
        file = None if self.credentials_file is None else self.credentials_file.expanduser().absolute()
        return Places(self.env_prefix, file, self.credentials_section, self.agency)


@dataclass(frozen=True, slots=True)
class Profile:
    """One account in one region, as the operator chose it.

    Attributes:
        name: as callers choose it; empty if there are no profiles.
        settings: those for calls that go there.
        places: where its credentials are.
        project: its id or name; empty if it is to be found.
        policy_file: rules for it, beside those for all.
    """

    name: str
    settings: Settings
    places: Places = USUAL_PLACES
    project: str = ""
    policy_file: Path | None = None

    def credentials(self, environ: Mapping[str, str] | None = None) -> Credentials:
        """Return the credentials; a project that was set for the usual ones is not taken for that of a profile.

        Raises:
            SettingsError: they are incomplete, or the one place that the profile names holds none.
        """
        found = find_credentials(os.environ if environ is None else environ, self.places)
        if not self.name:
            return found
        is_id = _ID.fullmatch(self.project) is not None
        if self.project:
            found = replace(
                found, project_id=self.project if is_id else None, project_name=None if is_id else self.project
            )
        elif not self.places.one_is_named:
            found = replace(found, project_id=None, project_name=None)
        own_iam = found.iam_endpoint if self.places.one_is_named else None
        return replace(found, iam_endpoint=own_iam, project_setting=f"project in [profiles.{self.name}]")

    @property
    def finds_credentials(self) -> bool:
        """Whether credentials are where they are searched; those of an agency that is named are asked for late."""
        try:
            return self.places.agency or not isinstance(self.credentials().identity, Agency)
        except SettingsError:
            return False


def profiles_of(settings: Settings) -> tuple[Profile, ...]:
    """Return the profiles that are chosen, the default first; one without a name where there are none.

    Raises:
        SettingsError: names every mistake, with its profile and key.
    """
    every = all_profiles(settings)
    if not every:
        if settings.profile:
            where = settings.where("profile")
            raise SettingsError(f"{where}: there are no profiles; each is a table [profiles.NAME] of ap-mcp.toml")
        return (Profile("", settings),)
    wanted = tuple(dict.fromkeys(settings.profile)) or tuple(every)
    problems = [_unknown(name, every) for name in wanted if name not in every]
    if problems:
        raise SettingsError("\n".join(problems))
    return tuple(every[name] for name in wanted)


def all_profiles(settings: Settings) -> dict[str, Profile]:
    """Return every profile of the file by its name, chosen or not.

    Raises:
        SettingsError: names every mistake, with its profile and key.
    """
    if not settings.profiles:
        return {}
    problems = list(_mixed(settings))
    found: dict[str, Profile] = {}
    for name, values in settings.profiles.items():
        wrong = [*_misnamed(name, found)]
        table, more = _table(values)
        problems += [f"profiles.{_shown(name)}: {each}" for each in [*wrong, *more]]
        if table is not None and not wrong:
            own = _settings_of(settings, table)
            found[name] = Profile(name, own, table.places, table.project or "", table.policy_file)
    if problems:
        raise SettingsError("\n".join(["Wrong profiles:", *(f"- {each}" for each in problems)]))
    return found


def _mixed(settings: Settings) -> Iterator[str]:
    """Find settings for all that each profile has of its own: which of both is meant cannot be known."""
    for name in PLACE:
        if is_given(name):
            where = settings.where(name)
            yield f"{where} is set beside profiles: remove it, or put {name} into the profile that it is meant for"


def _misnamed(name: str, others: Mapping[str, Profile]) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"the name {_FORM}"
    if twin := next((each for each in others if each.casefold() == name.casefold()), None):
        yield f"differs from profiles.{twin} in upper and lower case only"


def _table(values: Any) -> tuple[Table | None, list[str]]:
    """Return a table, or None, and what is wrong with it; no value is repeated."""
    if not isinstance(values, dict):
        return None, ["must be a table of keys and values"]
    try:
        table = Table.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return None, [_problem(each) for each in details if each["type"] != "default_factory_not_called"]
    return table, list(table.misfits())


def _problem(detail: Any) -> str:
    key, message = str(detail["loc"][0]), in_our_words(detail)
    if detail["type"] == "extra_forbidden":
        near = closest(key, Table.model_fields, most=1)
        message = f"no such key; did you mean {near[0]}?" if near else "no such key"
        message = _NO_KEYS if _SECRET.search(key) else message
    elif key == "endpoint" and ENDPOINTS in message:
        key, message = "region", message.replace(ENDPOINTS, "endpoint and iam_endpoint")
    return f"{_shown(key)}: {message[:1].lower()}{message[1:]}"


def _settings_of(settings: Settings, table: Table) -> Settings:
    """Return the settings for calls that go to a profile: those for all, but for what the table says."""
    own = {
        **{name: getattr(table, name) for name in PLACE},
        "read_only": settings.read_only or table.read_only,
        "kubernetes": table.kubernetes or settings.kubernetes,
    }
    given = {*settings.model_fields_set}.difference(PLACE) | table.model_fields_set.intersection(own)
    # Not read and checked anew: variables would come before what the table says.
    return Settings.model_construct(given, **{**dict(settings), **own})


def _unknown(name: str, known: Mapping[str, Profile]) -> str:
    near = closest(name.casefold(), {each.casefold(): each for each in known}, most=1)
    meant = next((each for each in known if near and each.casefold() == near[0]), "")
    hint = f" Did you mean {meant}?" if meant else ""
    return f"There is no profile {_shown(name)}.{hint} There are: {', '.join(known)}."


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) else in_quotes(name, NAME_LIMIT)
