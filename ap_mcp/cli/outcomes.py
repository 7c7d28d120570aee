"""How a command ends: words for people on stderr, and for scripts one JSON object on stdout, whatever became of it."""

import errno
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ap_mcp.errors import ApMcpError
    from ap_mcp.wait.result import Waited

WANTS_JSON = "ap_mcp.json"
"""The key, in what click keeps for a command line, of whether its outcome is wanted as JSON."""
SERVES = "ap_mcp.serves"
"""The key of whether the command is `serve`, whose standard error may be read by programs."""
INTERRUPTED = 130
"""The exit code of shells for a program that Ctrl-C ended."""
BROKEN_OFF = (
    "Interrupted. What was sent by then may have been carried out: "
    "`ap-mcp audit show` lists each call that is not a read, and what became of it."
)
NOT_WRITTEN = (
    "The output could not be written to its end: {}. What was sent by then may have been carried out: "
    "`ap-mcp audit show` lists each call that is not a read."
)
CLOSED = "Standard output is closed, so no result could be shown: nothing was done. To drop it, write it to /dev/null."
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""Why a file or a device takes no more, or nothing at all."""
CLOUD_SAID_NO, WAITED_TOO_LONG = 5, 7
KINDS = {
    "usage": (2, "The command line cannot be read."),
    "interrupted": (INTERRUPTED, "Ctrl-C was pressed."),
    "defect": (1, "An error in ap-mcp itself; please report it."),
    "blocked": (CLOUD_SAID_NO, "A pre-upgrade check that was waited for found what must be fixed."),
    "risks_only": (CLOUD_SAID_NO, "A pre-upgrade check that was waited for found nothing but risks."),
    "wait_failed": (CLOUD_SAID_NO, "What was waited for failed."),
    "waited_too_long": (WAITED_TOO_LONG, "What was waited for goes on; call again."),
}
"""Kinds of errors that are none of ours, with their exit codes and what they mean."""
FACTS = {
    "tool": "operation",
    "effect": "effect",
    "reason": "reason",
    "impact": "impact",
    "lives": "lives",
    "hints": "hints",
    "confirmation_token": "token",
    "suggestions": "suggestions",
    "searched": "searched",
    "status": "status",
    "other_codes": "other_codes",
    "service_says": "texts",
    "hint": "hint",
    "request_id": "request_id",
    "endpoint": "endpoint",
    "may_pass": "may_pass",
    "retry_after": "retry_after",
    "done": "done",
    "consent": "consent",
}
"""What scripts may want to go by, and the attribute of an error that holds it."""
_LENIENT = frozenset({"backslashreplace", "replace", "namereplace", "xmlcharrefreplace", "ignore"})


def wants_json(arguments: Sequence[str]) -> bool:
    """Say whether a command line asks for JSON; read before it is parsed, for that may be what fails."""
    words = list(arguments)
    words = words[: words.index("--")] if "--" in words else words
    chosen = ""
    for at, word in enumerate(words):
        if word.startswith("--output="):
            chosen = word.partition("=")[2]
        elif word == "--output":
            chosen = words[at + 1] if at + 1 < len(words) else ""
    return chosen == "json"


def write_anything() -> None:
    """Let nothing fail because a stream cannot write a character, as one of Windows that goes to a file: spell it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure and stream.errors not in _LENIENT:
            reconfigure(errors="backslashreplace")


def refuse_closed_output() -> None:
    """Refuse a command whose result nobody could get.

    Raises:
        ClickException: standard output is closed.
    """
    if sys.stdout is None:
        raise click.ClickException(CLOSED)


def show_json(document: Any) -> None:
    """Print JSON that stays JSON on a stream that is not UTF-8."""
    import json

    click.echo(json.dumps(document, indent=2, ensure_ascii=not writes_utf8()))


def writes_utf8() -> bool:
    """Say whether standard output takes every character."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").replace("_", "") == "utf8"


@contextmanager
def reported(*, as_json: bool, serves: bool) -> Iterator[None]:
    """Make sure that what ends a command is said, and that a script that wants JSON gets one object.

    Args:
        as_json: it wants one.
        serves: the command is `serve`.
    """
    try:
        yield
    except click.exceptions.Exit:
        raise
    except click.ClickException as error:
        if serves and _form_of_a_server() == "json":
            _say(error.format_message(), serves=True)
            raise click.exceptions.Exit(error.exit_code) from error
        if not as_json:
            raise
        from ap_mcp.masking import mask_text

        error.show()
        show_json({"error": problem("usage", mask_text(error.format_message()), error.exit_code)})
        raise click.exceptions.Exit(error.exit_code) from error
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error, click.Abort) and not isinstance(error.__context__, KeyboardInterrupt):
            raise  # what was to be typed came to its end
        _say(f"\n{BROKEN_OFF}", serves=serves)
        if as_json:
            show_json({"error": problem("interrupted", BROKEN_OFF, INTERRUPTED)})
        raise click.exceptions.Exit(INTERRUPTED) from error
    except Exception as error:
        _unexpected(error, as_json=as_json, serves=serves)
        raise


def _unexpected(error: Exception, *, as_json: bool, serves: bool) -> None:
    """Say what ends a command that nothing above knows of, before it goes on its way."""
    if isinstance(error, OSError) and error.errno in _FULL:
        _say(NOT_WRITTEN.format(error.strerror), serves=serves)
        with suppress(OSError, ValueError):  # or the interpreter tries to write the rest once more, and fails anew
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(1) from error
    if as_json and not isinstance(error, click.Abort | OSError):
        show_json({"error": problem("defect", f"{type(error).__name__}: see standard error.", 1)})


def _say(text: str, *, serves: bool) -> None:
    """Say what ends a command, in the form that standard error has."""
    from logging import ERROR

    from ap_mcp.cli.logs import say

    say(text, _form_of_a_server() if serves else "text", ERROR)


def _form_of_a_server() -> str:
    from ap_mcp.settings import log_form

    return log_form()


def failed(error: "ApMcpError", code: int) -> click.exceptions.Exit:
    """Say why a command failed; return what leaves with its exit code."""
    from ap_mcp.errors import ConfirmationRequired

    meta = click.get_current_context().meta
    as_json = meta.get(WANTS_JSON)
    # What a call would do stands in the object, and need not be said twice.
    brief = as_json and isinstance(error, ConfirmationRequired)
    _say(str(error) if brief else error.report(), serves=bool(meta.get(SERVES)))
    if as_json:
        show_json({"error": described(error, code)})
    return click.exceptions.Exit(code)


def problem(kind: str, message: str, exit_code: int, code: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an error for scripts: what kind, which code of the service or of an approval, in words, and the rest."""
    rest = {name: value for name, value in more.items() if value not in ("", None, (), [])}
    return {"kind": kind, "code": code or None, "message": message, "exit_code": exit_code, **rest}


def described(error: "ApMcpError", exit_code: int) -> dict[str, Any]:
    """Return an error as scripts read it; its kind is the name of its class."""
    from ap_mcp.errors import ConfirmationRequired, InvalidArguments, PartlyDone

    facts = {name: getattr(error, attribute, None) for name, attribute in FACTS.items()}
    if isinstance(error, InvalidArguments):
        facts["problems"] = [{"argument": each.argument, "message": each.message} for each in error.problems]
    if isinstance(error, PartlyDone):
        facts["cause"] = described(error.error, exit_code)
    if error.unclear or error.after_lost or getattr(error, "may_have_arrived", False):
        facts["may_have_happened"] = True
    # What a call would do stands in a field of its own.
    message = str(error) if isinstance(error, ConfirmationRequired) else error.render()
    return problem(kind_of(type(error)), message, exit_code, getattr(error, "code", None), **facts)


def kind_of(error: type) -> str:
    """Return the kind of an error as scripts read it: the name of its class."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower()


ENDED_WELL = ("succeeded", "ready")
"""Verdicts of a wait for a thing that ended as it should."""


def unfinished(result: "Waited") -> dict[str, Any] | None:
    """Return what a wait that did not end with success is for scripts; None if it did."""
    if result.verdict in ENDED_WELL:
        return None
    kinds = {"blocked": "blocked", "ready_with_risks": "risks_only"}
    kind = kinds.get(result.verdict, "wait_failed") if result.ended else "waited_too_long"
    return problem(kind, result.summary, CLOUD_SAID_NO if result.ended else WAITED_TOO_LONG)
