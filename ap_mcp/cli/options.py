"""What the commands share: settings and the simulator as flags, and errors as exit codes."""

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from ap_mcp.cli.outcomes import CLOUD_SAID_NO, failed

if TYPE_CHECKING:
    from ap_mcp.errors import ApMcpError

P = ParamSpec("P")

SPEED, FASTEST = 60.0, 3600.0
"""How fast simulated time runs if nobody says so, and at most: an hour a second."""

SETTINGS: dict[str, Callable[[Callable[..., None]], Callable[..., None]]] = {
    "profile": click.option(
        "--profile",
        metavar="A,B",
        shell_complete=lambda *given: _completing().profiles(*given),
        help="Profiles of ap-mcp.toml to serve, the default one first; all if not given.",
    ),
    "toolsets": click.option(
        "--toolsets",
        metavar="A,B",
        shell_complete=lambda *given: _completing().toolsets(*given),
        help="Subjects to offer, `essential` or `all`.",
    ),
    "read_only": click.option("--read-only", is_flag=True, default=None, help="Offer and run nothing but reading."),
    "confirm": click.option(
        "--confirm",
        type=click.Choice(["human", "approval", "token", "deny"]),
        help="How consent to guarded calls is obtained.",
    ),
    "http": click.option("--http", metavar="HOST:PORT", help="Serve over HTTP there, at /mcp, not on stdio."),
    "files_dir": click.option("--files-dir", metavar="FOLDER", help="Where results that are files are saved."),
}

CODES = "Exit codes: 0 done, 2 wrong usage, 4 refused."
"""Of commands that people run beside the servers."""
EXIT_CODES = """\b
Exit codes: 0 done, 2 wrong usage or arguments, 3 consent needed, 4 refused by policy or a person,
5 the cloud said no or what was waited for failed, 6 the cloud was not reached, 7 waited too long,
130 interrupted, 1 anything else."""


def tool_argument(**more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the argument TOOL, which a shell completes."""
    return click.argument("tool", shell_complete=lambda *given: _completing().tools(*given), **more)


def pairs_argument() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the arguments KEY=VALUE of that tool, which a shell completes."""
    completed = lambda *given: _completing().pairs(*given)  # noqa: E731
    return click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=completed)


def _completing() -> ModuleType:
    """Return what completes; imported only when a shell asks."""
    from ap_mcp.cli import completing

    return completing


def speed_option(usual: float = SPEED) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the flag --speed; it is None if it is not given, which means `usual`."""
    said = f"How fast simulated time runs; {usual:g} if not given."
    return click.option("--speed", type=_Speed(0, FASTEST, min_open=True), help=said)


class _Speed(click.FloatRange):
    """A number in a range; what is no number is in none, which its parent does not notice."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        return number if number == number else self.fail(f"{value!r} is not a number.", param, ctx)  # noqa: PLR0124


def only_simulated(*, simulate: bool, **given: object) -> None:
    """Refuse flags that mean nothing without --simulate."""
    for name, value in given.items():
        if value is not None and not simulate:
            raise click.UsageError(f"--{name} goes with --simulate only.")


def settings_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the flags of some settings; each reaches the command under the setting's name."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = SETTINGS[name](command)
        return command

    return add


def exits(command: Callable[P, None]) -> Callable[P, None]:
    """Report errors, in plain words on stderr, and leave with their exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from ap_mcp.errors import ApMcpError

        try:
            command(*args, **kwargs)
        except ApMcpError as error:
            raise failed(error, exit_code(error)) from error

    return run


def exit_code(error: "ApMcpError") -> int:
    """Return the exit code of an error; see `EXIT_CODES`."""
    from ap_mcp.errors import PartlyDone

    return exit_code(error.error) if isinstance(error, PartlyDone) else exit_code_of(type(error))


def exit_code_of(kind: "type[ApMcpError]") -> int:
    """Return the exit code of a kind of errors."""
    from ap_mcp import errors

    codes: tuple[tuple[type[ApMcpError], int], ...] = (
        (errors.ConsentOff, 4),
        (errors.ConfirmationRequired, 3),
        (errors.ReadOnly, 4),
        (errors.DeniedByPolicy, 4),
        (errors.ConsentDeclined, 4),
        (errors.ApprovalRefused, 4),
        (errors.ApprovalsUnusable, 4),
        (errors.AuditFailed, 4),
        (errors.CallRefused, 2),
        (errors.SettingsError, 2),
        (errors.ServiceError, CLOUD_SAID_NO),
        (errors.CloudUnreachable, 6),
        (errors.WebhookFailed, 6),
    )
    return next((code for each, code in codes if issubclass(kind, each)), 1)


def log_to_stderr(level: str, form: str = "text") -> None:
    """Send our log to stderr; libraries only speak up from warnings on (httpx would print whole URLs), and seldom.

    Args:
        level: from which one on.
        form: `text`, or `json` for one object a line.
    """
    import logging

    from ap_mcp.cli.logs import FORMS, Seldom

    handler = logging.StreamHandler()
    handler.addFilter(Seldom())
    handler.setFormatter(FORMS[form]())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("ap_mcp").setLevel(level.upper())
    logging.getLogger("stamina").setLevel(logging.ERROR)  # tries are not reported, giving up is
