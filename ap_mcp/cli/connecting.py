"""How the commands reach a cloud: the real one, or a simulator served by this process."""

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ap_mcp.cli.logs import say
from ap_mcp.cli.options import SPEED

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudClient
    from ap_mcp.clouds import Account, Connect
    from ap_mcp.credentials import Credentials
    from ap_mcp.guard.policy import Rule
    from ap_mcp.profiles import Profile
    from ap_mcp.server import Autopilot
    from ap_mcp.settings import Settings
    from ap_mcp.simulator.world import World

SHORTEST_SLEEP = 0.2
NOTICE = "SIMULATED: no cloud is touched, and time runs {speed:g} times as fast."


def autopilot_for(settings: "Settings", *, remote: bool = False) -> "Autopilot":
    """Return what runs tools against the clouds of the settings; it connects to each at the first call that needs to.

    Args:
        settings: what the operator chose.
        remote: its callers are on other machines.
    """
    from ap_mcp.server import Autopilot

    if not settings.profiles and not settings.profile:
        return Autopilot(settings, _connector(settings), remote=remote)
    from ap_mcp.clouds import Account
    from ap_mcp.profiles import profiles_of

    accounts = [
        Account(each.settings, _connector(each.settings, each.credentials), each.name, _rules(each))
        for each in profiles_of(settings)
    ]
    return Autopilot(settings, accounts, remote=remote)


@contextmanager
def simulated_autopilot(
    world_of: "Callable[[str], World]",
    speed: float = SPEED,
    *,
    prepare: "Callable[[Settings], Settings] | None" = None,
    **flags: Any,
) -> Iterator["Autopilot"]:
    """Yield what runs tools against simulators, one for each profile, each served on a free port of this machine.

    Args:
        world_of: makes the simulated account of a profile; its name is empty where there are none.
        speed: how fast its time runs.
        prepare: returns settings as they hold for what serves; callers are on other machines if that is over HTTP.
        flags: of the command line, by setting.
    """
    from ap_mcp.server import Autopilot
    from ap_mcp.settings import load_settings, profile_tables

    with ExitStack() as stack:
        accounts: Connect | list[Account]
        if profile_tables():
            settings = load_settings(**flags)
            settings = settings if prepare is None else prepare(settings)
            accounts = _simulated_accounts(stack, settings, world_of)
        else:
            environment = _served(stack, world_of(""))
            ours = ("AP_MCP_ENDPOINT", "AP_MCP_IAM_ENDPOINT", "AP_MCP_REGION")
            own = {name.removeprefix("AP_MCP_").lower(): environment[name] for name in ours}
            settings = load_settings(**{**flags, **own})
            settings = settings if prepare is None else prepare(settings)
            if settings.profile:
                from ap_mcp.profiles import profiles_of

                profiles_of(settings)  # says that there are none
            accounts = _connector(settings, partial(_simulated_keys, environment))
        say(NOTICE.format(speed=speed), settings.log_format)
        remote = prepare is not None and settings.http is not None
        yield Autopilot(settings, accounts, simulated=True, remote=remote, sleep=_shortened_sleep(speed))


def _served(stack: ExitStack, world: "World", project: str = "", region: str = "") -> Mapping[str, str]:
    """Serve a simulated account until the stack is closed; return the environment that leads there."""
    from ap_mcp.simulator.access import SIMULATED_CREDENTIALS, TEMPORARY_CREDENTIALS, SimulatedCredentials
    from ap_mcp.simulator.app import build_app
    from ap_mcp.simulator.faults import Faults
    from ap_mcp.simulator.serving import exports, running

    keys = SIMULATED_CREDENTIALS
    if project:
        keys = SimulatedCredentials(keys.access_key, keys.secret_key, project_id=project, region=region or keys.region)
    faults = Faults.from_environment(os.environ)
    app = build_app(world, faults=faults, credentials=(keys, TEMPORARY_CREDENTIALS), strict_answers=False)
    return exports(stack.enter_context(running(app)), keys)


def _simulated_accounts(stack: ExitStack, settings: "Settings", world_of: "Callable[[str], World]") -> "list[Account]":
    """Return an account for each profile, of a simulator and a project of its own."""
    from ap_mcp.clouds import Account
    from ap_mcp.profiles import profiles_of

    accounts = []
    for each in profiles_of(settings):
        project = sha256(each.name.encode()).hexdigest()[:32]
        environment = _served(stack, world_of(each.name), project, each.settings.region or "")
        there = {"endpoint": environment["AP_MCP_ENDPOINT"], "iam_endpoint": environment["AP_MCP_IAM_ENDPOINT"]}
        own = each.settings.model_copy(update=there)
        accounts.append(Account(own, _connector(own, partial(_simulated_keys, environment)), each.name, _rules(each)))
    return accounts


def _simulated_keys(environment: Mapping[str, str]) -> "Credentials":
    from ap_mcp.credentials import find_credentials

    return find_credentials(environment)


def state_file(profile: str = "", given: str | None = None) -> Path:
    """Return where `call --simulate` keeps its account: of each profile in a file of its own.

    Args:
        profile: whose; empty where there are none.
        given: the file that was chosen in place of the usual one.
    """
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(given) if given else Path(folder) / "ap-mcp" / "simulator.json"
    return path.with_stem(f"{path.stem}-{profile}") if profile else path


def _rules(profile: "Profile") -> "tuple[Rule, ...]":
    """Return the rules for a profile alone.

    Raises:
        SettingsError: its policy file is wrong.
    """
    if profile.policy_file is None:
        return ()
    from ap_mcp.guard.policy_file import load_policy
    from ap_mcp.specs import load_catalog
    from ap_mcp.toolbox import known_to_rules

    return load_policy(profile.policy_file, profile.settings, known_to_rules(load_catalog())).every_rule


def _shortened_sleep(speed: float) -> "Callable[[float], Awaitable[None]]":
    """Return a sleep for simulated time: a wait reads more often, and still lasts no longer than it was asked to."""
    import anyio

    async def sleep(seconds: float) -> None:
        await anyio.sleep(max(seconds / speed, min(seconds, SHORTEST_SLEEP)))

    return sleep


def _connector(settings: "Settings", find: "Callable[[], Credentials] | None" = None) -> "Connect":
    async def connect() -> "CloudClient":
        # Imported at the first call only: httpx would cost the start of every server a fifth of a second.
        from ap_mcp.cloud.client import CloudClient
        from ap_mcp.credentials import find_credentials

        return CloudClient(settings, find_credentials() if find is None else find())

    return connect
