"""What `ap-mcp doctor` checks: each part of the way to the cloud, and to a person, on its own."""

import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from ap_mcp.clouds import Cloud
    from ap_mcp.errors import ApMcpError
    from ap_mcp.guard.approvals import Approvers
    from ap_mcp.profiles import Profile
    from ap_mcp.server import Autopilot
    from ap_mcp.settings import Settings
    from ap_mcp.specs import Operation

State: TypeAlias = Literal["ok", "warning", "problem"]

OTHER_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
NOTICED, REFUSED = 60, 900
"""Seconds that this machine's clock may be off before it is worth a word, and before signatures are refused."""
ON_THIS_MACHINE = (
    "not compared: the service is on this machine, so it is none of the cloud, and its clock may be simulated"
)
UNCONFIGURED = "not tried: first correct what is wrong above"
UNUSED_PROXY = "If the cloud is reached through it only, set AP_MCP_PROXY to the same address."
NO_PASSKEY = "Make a link for whoever approves there: ap-mcp approvals enrol NAME"
NEEDS_A_NAME = "Set AP_MCP_PUBLIC_URL to https:// with the name of a host, or on this machine http://localhost:PORT."
TRY_WEBHOOK = "Post a test there with: ap-mcp approvals test-webhook"
NOBODY = "Make a key with `ap-mcp approvals init`, then restart running servers."


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was checked, how it is, what was found, and what to do about it."""

    check: str
    state: State
    found: str
    advice: str = ""


def program() -> Iterator[Finding]:
    """Check the program itself: whether Python finds it compiled, which a quick start takes."""
    from importlib.util import cache_from_source

    from ap_mcp import __version__

    folder = Path(__file__).parents[1]
    # A module that this command does not import: one that is compiled only if all were.
    compiled = Path(cache_from_source(str(folder / "protocol.py"))).is_file()
    found = f"ap-mcp {__version__}, Python {sys.version.split()[0]}"
    if compiled:
        yield Finding("program", "ok", found)
        return
    kept = os.access(folder, os.W_OK) and not sys.dont_write_bytecode
    slow = f"{'The first' if kept else 'Each'} start compiles it, which takes seconds; some clients do not wait so long"
    site = folder.parent if folder.parent.name.endswith("-packages") else folder
    advice = f'{slow}. Do it beforehand: "{sys.executable}" -m compileall -q "{site}"'
    yield Finding("program", "warning", f"{found}; it is not compiled", advice)


def wrong_settings(error: "ApMcpError") -> Iterator[Finding]:
    """Report settings that cannot be used, a finding each."""
    head, *lines = error.render().splitlines()
    named = [line.removeprefix("- ") for line in lines if line.startswith("- ")] or [head]
    for each in named:
        yield Finding("settings", "problem", each, "Correct it where it is set, then run this again.")


def unusable(error: "ApMcpError", reported: Sequence[Finding]) -> Iterator[Finding]:
    """Report why no server would start although each setting is right by itself, as with a wrong policy file."""
    if _is_in(error.render(), reported):
        yield Finding("start", "problem", "a server does not start: first correct what is wrong above")
    else:
        yield Finding("start", "problem", error.render(), "A server does not start until this is corrected.")


def settings(chosen: "Settings", flags: Mapping[str, Any], *, simulated: bool) -> Iterator[Finding]:
    """Show each setting that somebody chose, and where; secrets are not shown."""
    from pydantic import SecretStr

    from ap_mcp.settings import TABLES, where_from

    given = {name: value for name, value in flags.items() if value is not None}
    for name in type(chosen).model_fields:
        if name not in chosen.model_fields_set or name in TABLES:
            continue
        value = getattr(chosen, name)
        many = isinstance(value, tuple)
        shown = "set, not shown" if isinstance(value, SecretStr) else ",".join(map(str, value)) if many else value
        yield Finding("settings", "ok", f"{name}: {shown} (from {where_from(name, given)})")
    if simulated:
        own = "endpoints" if chosen.profiles else "region, endpoints"
        yield Finding("settings", "ok", f"SIMULATED: {own}, keys and project are the simulator's own")
    elif chosen.profiles:
        yield Finding("settings", "ok", f"profiles: {', '.join(chosen.profiles)}; the rest has its defaults")
    elif chosen.endpoint is None:
        advice = "Set AP_MCP_REGION, for instance AP_MCP_REGION=ap-southeast-1."
        yield Finding("settings", "problem", "no region and no endpoint is set", advice)
    else:
        yield Finding("settings", "ok", f"requests go to {chosen.endpoint}; the rest has its defaults")


def profiles(chosen: "Sequence[Profile]", *, simulated: bool) -> Iterator[Finding]:
    """Check each profile that is served: where its calls go, and its credentials."""
    for number, each in enumerate(chosen):
        own = each.settings
        facts = [f"region {own.place}", f"project {each.project}" if each.project else ""]
        facts += ["only reads" if own.read_only else "", "the default" if number == 0 and len(chosen) > 1 else ""]
        yield Finding("profile", "ok", f"{each.name}: {', '.join(fact for fact in facts if fact)}")
        if not simulated:
            yield from (replace(found, found=f"{each.name}: {found.found}") for found in credentials(each))


def credentials(profile: "Profile | None" = None) -> Iterator[Finding]:
    """Search for credentials where the server does, for a profile if one is given; no value is shown."""
    from ap_mcp.credentials import AccessKey, Agency, GivenToken, find_credentials, mixed_up
    from ap_mcp.errors import CredentialsMissing, SettingsError
    from ap_mcp.private_files import others_may_read

    try:
        found = find_credentials() if profile is None else profile.credentials()
    except CredentialsMissing as error:
        advice = "Calls to this profile fail until then; the others go on."
        yield Finding("credentials", "problem", f"none was found. Searched: {'; '.join(error.searched)}", advice)
        return
    except SettingsError as error:
        yield Finding("credentials", "problem", error.render())
        return
    identity = found.identity
    if isinstance(identity, Agency) and profile is not None and profile.places.agency:
        yield Finding("credentials", "ok", "those of this cloud server's agency, as the profile says")
        return
    if isinstance(identity, Agency):
        searched = "; ".join(identity.searched)
        advice = "Set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, unless this is a cloud server with an agency."
        yield Finding("credentials", "warning", f"none was found. Searched: {searched}", advice)
        return
    kind = "user and password"
    if isinstance(identity, AccessKey):
        kind = "temporary access key" if identity.security_token else "access key"
    elif isinstance(identity, GivenToken):
        kind = "IAM token, which ends within 24 hours and is not renewed"
    doubt = mixed_up(identity).strip() if isinstance(identity, AccessKey) else ""
    if Path(found.source).is_file() and others_may_read(Path(found.source)):
        doubt = f"{doubt} Other users may read its secret key: chmod go-rwx {found.source}".strip()
    yield Finding("credentials", "warning" if doubt else "ok", f"{kind}, from {found.source}", doubt)


def network(chosen: "Settings") -> Iterator[Finding]:
    """Check what stands between this machine and the cloud."""
    from urllib.parse import urlsplit

    if chosen.proxy is not None:
        place = urlsplit(chosen.proxy.get_secret_value()).netloc.rpartition("@")[2]
        yield Finding("network", "ok", f"through the proxy {place}, as AP_MCP_PROXY says")
    elif unused := next((name for name in OTHER_PROXIES if os.environ.get(name, "").strip()), ""):
        yield Finding("network", "warning", f"{unused} is set, and not used by ap-mcp", UNUSED_PROXY)
    if chosen.ca_file is not None:
        yield Finding("network", "ok", f"certificates are checked by {chosen.ca_file} alone")


def approvers(chosen: "Settings") -> Iterator[Finding]:
    """Check who can agree to guarded calls."""
    from ap_mcp.errors import ApMcpError
    from ap_mcp.guard.approvers import load_approvers
    from ap_mcp.guard.keys import APPROVERS_FILE, has_key

    if chosen.confirm == "deny":
        yield Finding("approvers", "ok", "nobody is asked: AP_MCP_CONFIRM=deny refuses every guarded call")
        return
    try:
        known = load_approvers(chosen.approver_dir / APPROVERS_FILE)
    except ApMcpError as error:
        yield Finding("approvers", "problem", error.render(), "Until then no approval counts.")
        return
    if known:
        own = "your key is here" if has_key(chosen.approver_dir) else "none of them has a key in this folder"
        yield Finding("approvers", "ok", f"{', '.join(known)} ({chosen.approver_dir}); {own}")
        if chosen.public_url is not None:
            yield _on_the_page(chosen.public_url, known)
        return
    found = "nobody can approve a guarded call where the client shows no form"
    yield Finding("approvers", "problem" if chosen.confirm == "approval" else "warning", found, NOBODY)


def _on_the_page(public_url: str, known: "Approvers") -> Finding:
    """Say who can approve on the page, which passkeys are bound to."""
    from urllib.parse import urlsplit

    from ap_mcp.guard.passkeys import rp_id_of

    parts = urlsplit(public_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    if not rp_id_of(origin):
        return Finding("approvers", "warning", f"browsers have no passkeys at {origin}", NEEDS_A_NAME)
    able = [name for name, each in known.items() if any(passkey.origin == origin for passkey in each.passkeys)]
    if not able:
        return Finding("approvers", "warning", f"nobody has a passkey for the page at {origin}", NO_PASSKEY)
    return Finding("approvers", "ok", f"on the page at {origin}: {', '.join(able)}")


async def webhooks(chosen: "Settings") -> AsyncIterator[Finding]:
    """Check where questions are posted: whether a connection comes about; nothing is posted."""
    from ap_mcp.webhook_addresses import SIGNED
    from ap_mcp.webhooks.reaching import unreached

    for address in chosen.webhooks:
        if chosen.proxy is not None:
            yield Finding("webhook", "ok", f"{address}, through the proxy; no connection was tried", TRY_WEBHOOK)
        elif why := await unreached(address, chosen.ca_file):
            advice = "Questions wait all the same, but nobody reads of them there. Correct AP_MCP_APPROVAL_WEBHOOK."
            yield Finding("webhook", "problem", f"{address}: {why}", advice)
        elif address.form == "generic" and not address.secret:
            advice = "Set AP_MCP_APPROVAL_WEBHOOK_SECRET, by which the program there knows who has posted."
            yield Finding("webhook", "warning", f"{address}: can be reached, and is not signed", advice)
        else:
            signed = ", signed" if address.form in SIGNED and address.secret else ""
            yield Finding("webhook", "ok", f"{address}: can be reached{signed}", TRY_WEBHOOK)


def policy(autopilot: "Autopilot") -> Iterator[Finding]:
    """Check the operator's rules."""
    from ap_mcp.guard.policy_file import doubts
    from ap_mcp.kubernetes.kinds import other_names
    from ap_mcp.kubernetes.spec import known_kinds
    from ap_mcp.toolbox import known_to_rules

    chosen = autopilot.settings
    if chosen.read_only:
        yield Finding("policy", "ok", "read only: nothing is changed, whatever the rules")
    views = [autopilot.view(profile=each) for each in autopilot.clouds]
    if not any(view.policy.every_rule for view in views):
        found = "no rules: what interrupts, destroys or hands out credentials is asked about, the rest runs"
        unused = chosen.approver_dir / "policy.toml"
        if chosen.policy_file is None and unused.is_file():
            said = f"{unused} is there, and no setting names it: its rules do not count; {found}"
            yield Finding("policy", "warning", said, f"Set AP_MCP_POLICY_FILE={unused}, or remove that file.")
        else:
            yield Finding("policy", "ok", found)
        return
    doubted = dict[str, None]()
    for view in views:
        count, where = len(view.policy.rules), f"{view.cloud.profile}: " if view.cloud.profile else ""
        source = f" in {chosen.policy_file}" if chosen.policy_file is not None and len(views) == 1 else ""
        yield Finding("policy", "ok", f"{where}{count} {'rule' if count == 1 else 'rules'}{source}")
        known = known_to_rules(autopilot.catalog)
        doubted |= dict.fromkeys(doubts(view.policy, known, other_names(known_kinds()), autopilot.clouds))
    for doubt in doubted:
        yield Finding("policy", "warning", doubt, "Correct the rule, or see `ap-mcp policy explain`.")


def folders(chosen: "Settings") -> Iterator[Finding]:
    """Check the places that are written to; nothing is made."""
    from ap_mcp.private_files import check_private_folder

    places = {
        "AP_MCP_AUDIT_LOG": chosen.audit_log.parent,
        "AP_MCP_APPROVALS_DB": chosen.approvals_db.parent,
        "AP_MCP_APPROVER_DIR": chosen.approver_dir,
        "AP_MCP_FILES_DIR": chosen.files_dir,
    }
    for name, folder in places.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        advice = f"Choose another place with {name}, or correct its rights."
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            yield Finding("folders", "problem", f"{there} cannot be written to", advice)
            continue
        try:
            if there == folder:
                check_private_folder(folder)
        except OSError as error:
            yield Finding("folders", "problem", error.strerror or str(error), advice)
            continue
        state = "is there" if there == folder else "is made when it is needed"
        yield Finding("folders", "ok", f"{folder} {state} ({name})")


async def clouds(autopilot: "Autopilot", reported: Sequence[Finding]) -> AsyncIterator[Finding]:
    """Go to each cloud, and check whether two profiles lead to the same account and region.

    Args:
        autopilot: what goes there.
        reported: what was found before, and need not be said again.
    """
    from ap_mcp.errors import ApMcpError

    reached: dict[tuple[str | None, str], str] = {}
    for name, each in autopilot.clouds.items():
        async for finding in cloud(autopilot, each, reported):
            yield replace(finding, found=f"{name}: {finding.found}") if name else finding
        try:
            place = each.settings.endpoint, await each.gateway.project_id()
        except ApMcpError:  # reported already
            continue
        if place in reached:
            found = f"{name} and {reached[place]} are the same project of the same region"
            yield Finding("profile", "warning", found, "A rule or a consent for one of them says nothing of the other.")
        reached.setdefault(place, name)


async def cloud(autopilot: "Autopilot", there: "Cloud", reported: Sequence[Finding]) -> AsyncIterator[Finding]:
    """Go to a cloud: sign in, find the project, make a read for each permission to read, compare the clocks."""
    from ap_mcp.errors import ApMcpError, CredentialsMissing, SettingsError

    try:
        project = await there.gateway.project_id()
    except CredentialsMissing as error:
        more = "; ".join(each for each in error.searched if not _is_in(each, reported))
        found = f"not tried: there are no credentials{f'. Searched, too: {more}' if more else ''}"
        yield Finding("cloud", "problem", found)
        return
    except ApMcpError as error:
        is_said = isinstance(error, SettingsError) and (
            there.settings.endpoint is None or _is_in(error.render(), reported)
        )
        yield Finding("cloud", "problem", UNCONFIGURED) if is_said else _failed("cloud", error)
        return
    yield Finding("cloud", "ok", f"project {project}")
    async for finding in _permissions(autopilot, there.profile):
        yield finding
    if autopilot.simulated or not there.gateway.knows_time:  # simulated time runs fast
        return
    from datetime import UTC, datetime
    from urllib.parse import urlsplit

    from ap_mcp.setting_values import is_loopback

    ahead = round((datetime.now(UTC) - there.gateway.now()).total_seconds())
    host = urlsplit(there.settings.endpoint or "").hostname or ""
    yield clock(ahead, here=is_loopback(host))


def _is_in(text: str, reported: Sequence[Finding]) -> bool:
    return any(text in each.found for each in reported)


def clock(ahead: int, *, here: bool = False) -> Finding:
    """Compare the clocks, of which this machine's is so many seconds ahead: a signature holds its time.

    Args:
        ahead: seconds; of a service behind them, less than nothing.
        here: the service is on this machine, so that another time is meant to be another.
    """
    if here and abs(ahead) >= NOTICED:
        return Finding("clock", "ok", ON_THIS_MACHINE)
    way = "ahead of" if ahead > 0 else "behind"
    found = f"this machine is {abs(ahead)} s {way} the service" if ahead else "as the service's, to the second"
    state: State = "problem" if abs(ahead) >= REFUSED else "warning" if abs(ahead) >= NOTICED else "ok"
    return Finding("clock", state, found, "" if state == "ok" else "Set this machine's clock by a time server (NTP).")


async def _permissions(autopilot: "Autopilot", profile: str) -> AsyncIterator[Finding]:
    """Make one harmless read for each IAM action that lets one read."""
    from ap_mcp.errors import (
        AuthenticationFailed,
        CloudUnreachable,
        ConfirmationRequired,
        DeniedByPolicy,
        PermissionDenied,
        ServiceError,
    )

    reads, worked, cluster = autopilot.reads(autopilot.view(profile=profile)), [], ""
    for operation, needs in _tried(autopilot):
        if needs and not cluster:
            continue
        try:
            body = await reads.read(operation.id, **dict.fromkeys(needs, cluster))
        except PermissionDenied as error:
            found = f"{operation.id} needs the IAM action {operation.iam_action}: {error.brief()}"
            yield Finding("permissions", "problem", found, error.hint)
        except (DeniedByPolicy, ConfirmationRequired):
            yield Finding("permissions", "ok", f"{operation.id} was not tried: a rule of the policy stands before it")
        except (CloudUnreachable, AuthenticationFailed) as error:
            yield _failed("cloud", error)
            return
        except ServiceError as error:
            yield Finding("permissions", "warning", f"{operation.id}: {error.brief()}", error.hint)
        else:
            worked.append(f"{operation.id} ({operation.iam_action})")
            cluster = cluster or _first_cluster(operation, body)
    if worked:
        yield Finding("permissions", "ok", f"these reads work: {', '.join(worked)}")


def _tried(autopilot: "Autopilot") -> "Iterator[tuple[Operation, tuple[str, ...]]]":
    """Yield a read for each IAM action, with what it needs: nothing, or a cluster, whose ids the first ones bring."""
    from ap_mcp.specs import CLUSTER
    from ap_mcp.toolbox import toolbox

    seen: set[str] = set()
    tools = toolbox(autopilot.catalog).tools
    for needs in ((), (CLUSTER,)):
        for operation in autopilot.catalog.values():
            action, required = operation.permission, tuple(tools[operation.id].input_schema.get("required", ()))
            if action and action not in seen and operation.worst_effect == "read" and required == needs:
                seen.add(action)
                yield operation, needs


def _first_cluster(operation: "Operation", body: Any) -> str:
    from ap_mcp.vendor import get, items

    found = items(body, "/items") if operation.id == "list_clusters" else []
    return str(get(found[0], "/metadata/uid", "")) if found else ""


def _failed(check: str, error: "ApMcpError") -> Finding:
    """Report an error that nothing can go on after."""
    from ap_mcp.errors import CloudUnreachable, ServiceError
    from ap_mcp.wording import clean

    if isinstance(error, CloudUnreachable):
        return Finding(check, "problem", f"no answer from {error.endpoint} ({clean(error.reason)})", error.advice)
    if isinstance(error, ServiceError):
        return Finding(check, "problem", f"{error.operation}: {error.brief()}", error.hint)
    return Finding(check, "problem", error.render())
