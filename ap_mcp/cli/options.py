"""What the commands share: settings as flags, and errors as exit codes."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import click

if TYPE_CHECKING:
    from ap_mcp.errors import ApMcpError

P = ParamSpec("P")

SETTINGS: dict[str, Callable[[Callable[..., None]], Callable[..., None]]] = {
    "toolsets": click.option("--toolsets", metavar="A,B", help="Subjects to offer, `essential` or `all`."),
    "read_only": click.option("--read-only", is_flag=True, default=None, help="Offer and run nothing but reading."),
    "confirm": click.option(
        "--confirm",
        type=click.Choice(["human", "approval", "token", "deny"]),
        help="How consent to guarded calls is obtained.",
    ),
    "files_dir": click.option("--files-dir", metavar="FOLDER", help="Where results that are files are saved."),
}

CLOUD_SAID_NO, WAITED_TOO_LONG = 5, 7
EXIT_CODES = """\b
Exit codes: 0 done, 2 wrong usage or arguments, 3 consent needed, 4 refused by policy or a person,
5 the cloud said no or what was waited for failed, 6 the cloud was not reached, 7 waited too long."""


def settings_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the flags of some settings; each reaches the command under the setting's name."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = SETTINGS[name](command)
        return command

    return add


def exits(command: Callable[P, None]) -> Callable[P, None]:
    """Report errors on stderr in plain words and leave with their exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from ap_mcp.errors import ApMcpError

        try:
            command(*args, **kwargs)
        except ApMcpError as error:
            click.echo(error.report(), err=True)
            raise click.exceptions.Exit(exit_code(error)) from error

    return run


def exit_code(error: "ApMcpError") -> int:
    """Return the exit code of an error; see `EXIT_CODES`."""
    from ap_mcp.errors import (
        ApprovalRefused,
        ApprovalsUnusable,
        AuditFailed,
        CallRefused,
        CloudUnreachable,
        ConfirmationRequired,
        ConsentDeclined,
        DeniedByPolicy,
        ReadOnly,
        ServiceError,
        SettingsError,
    )

    codes: tuple[tuple[type[ApMcpError], int], ...] = (
        (ConfirmationRequired, 3),
        (ReadOnly, 4),
        (DeniedByPolicy, 4),
        (ConsentDeclined, 4),
        (ApprovalRefused, 4),
        (ApprovalsUnusable, 4),
        (AuditFailed, 4),
        (CallRefused, 2),
        (SettingsError, 2),
        (ServiceError, CLOUD_SAID_NO),
        (CloudUnreachable, 6),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), 1)


def log_to_stderr(level: str) -> None:
    """Send our log to stderr, masked; libraries only speak up from warnings on (httpx would print whole URLs)."""
    import logging

    from ap_mcp.masking import mask_text

    class Masked(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return mask_text(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Masked("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("ap_mcp").setLevel(level.upper())
    logging.getLogger("stamina").setLevel(logging.ERROR)  # tries are not reported, giving up is
