"""`ap-mcp approvals`: what waits for a person, and their signed answers."""

import getpass
import json
import unicodedata
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ap_mcp.cli.options import exits

if TYPE_CHECKING:
    from ap_mcp.guard.approval_requests import Asked, Question
    from ap_mcp.guard.approvals import Approvers
    from ap_mcp.guard.stores import ApprovalStore
    from ap_mcp.settings import Settings

T = TypeVar("T")

TRIES = 3
CODES = "Exit codes: 0 done, 2 wrong usage, 4 refused."
CHOICE = "Choose a passphrase that nothing on this machine knows: an agent that has it can approve its own calls."
WHY_THE_NAME = "Typing its name shows that you have read what this is about."
KEY_IS_YOUNGER = (
    "The list of approvers has changed since this was asked. If the server that asks was not restarted since, your "
    "approval does not count there: restart it, and let the call be made again."
)
WHY_YOUR_KEY = "The passphrase unlocks your key, which signs exactly what stands above: it counts for nothing else."


@click.group(epilog=CODES)
def approvals() -> None:
    """See and decide what waits for a person.

    A guarded call from a client that cannot ask anybody answers with a code. Read it here, decide, and the
    agent makes the call again. Servers accept only the approvers they knew when they started.
    """


@approvals.command(epilog=CODES)
@click.option("--name", metavar="NAME", help="Of the approver; your user name if not given.")
@exits
def init(*, name: str | None) -> None:
    """Make your approver's key, locked by a passphrase."""
    from ap_mcp.guard.keys import APPROVERS_FILE, KEY_FILE, has_key, init_key
    from ap_mcp.settings import load_settings

    folder = load_settings().approver_dir
    old = None
    if has_key(folder):
        click.echo(f"There is a key already: {folder / KEY_FILE}. It is replaced only with its passphrase.")
        old = click.prompt("Passphrase of the old key", hide_input=True)
    click.echo(CHOICE)
    approver = init_key(folder, name or _user(), _chosen_passphrase(), old)
    click.echo(f"Made the key of {approver.name}: {folder / KEY_FILE}, which only the passphrase opens.")
    click.echo(f"Its public half, {approver.public_text}, is in {folder / APPROVERS_FILE}: what servers believe.")
    click.echo("Servers read that file when they start: restart those that run, or your approvals do not count there.")


def _chosen_passphrase() -> str:
    """Return a new passphrase, typed twice; one that is too short is refused before it is typed again.

    Raises:
        CallRefused: three tries were not enough.
    """
    from ap_mcp.errors import CallRefused
    from ap_mcp.guard.keys import PASSPHRASE_LENGTH, is_long_enough

    wanted = f"at least {PASSPHRASE_LENGTH} characters"
    for _ in range(TRIES):
        typed = click.prompt(f"New passphrase, {wanted}", hide_input=True)
        if not is_long_enough(typed):
            click.echo(f"That is too short: {wanted}.")
        elif click.prompt("Once more, the same", hide_input=True) != typed:
            click.echo("The two are not the same.")
        else:
            return str(typed)
    raise CallRefused(f"No passphrase was chosen in {TRIES} tries. Nothing was made.")


@approvals.command(name="list", epilog=CODES)
@click.option("--all", "everything", is_flag=True, help="Also what was decided, withdrawn or has expired of late.")
@exits
def list_(*, everything: bool) -> None:
    """List what waits for a person; what is simulated comes last, and is marked."""
    from ap_mcp.settings import load_settings

    settings = load_settings()
    approvers = _approvers(settings)  # reported here too if it is wrong: no answer would count
    now = _now(store := _store(settings))
    waiting = _run(store.pending, now)
    ended = _run(store.history, now) if everything else []
    for each in sorted(waiting, key=lambda question: question.simulated):
        click.echo(f"{_row(each)}  {_left(each, now)}")
    if not waiting:
        click.echo("Nothing waits for a person.")
    for asked in sorted(ended, key=lambda asked: asked.question.simulated):
        click.echo(f"{_row(asked.question)}  {_standing(asked, approvers, now)}")
    if waiting or ended:
        click.echo("Show one with: ap-mcp approvals show CODE")


def _row(question: "Question") -> str:
    what = [_line(question.tool), _shown(question.name), _line(question.effect), _for_whom(question)]
    return "  ".join([question.code, _where(question), *what])


def _standing(asked: "Asked", approvers: "Approvers", now: datetime) -> str:
    """Return what a question has come to, and by whom."""
    from ap_mcp.guard.approvals import standing

    found = standing(asked, approvers, now)
    by = f" by {_shown(found.approver)}" if found.state == "withdrawn" else f" by {found.approver}"
    return f"{found.state}{by if found.approver else ''}{f', {found.why}' if found.why else ''}"


@approvals.command(epilog=CODES)
@click.argument("code")
@exits
def show(code: str) -> None:
    """Show what the question CODE is about, and how it stands."""
    from ap_mcp.settings import load_settings

    settings = load_settings()
    now = _now(store := _store(settings))
    asked = _found(store, code)
    click.echo(_described(asked.question, now))
    click.echo(f"Standing: {_standing(asked, _approvers(settings), now)}")


@approvals.command(epilog=CODES)
@click.argument("code")
@exits
def approve(code: str) -> None:
    """Approve the question CODE: read it, type the target's name, sign with your passphrase.

    The approval counts once, for exactly the call that is shown, on things as they are shown, until it expires.
    """
    from ap_mcp.settings import load_settings

    approve_here(load_settings(), code)
    click.echo("Nothing has been sent yet: the agent must make the call again now.")


def approve_here(settings: "Settings", code: str) -> None:
    """Let the person at the terminal approve a question: shown, its target's name typed, signed.

    Raises:
        ApprovalRefused: it cannot be decided, the name was another, or the answer would not count.
    """
    from ap_mcp.errors import ApprovalRefused
    from ap_mcp.vendor import written

    question = _waiting(settings, code)
    if _is_younger(settings, question):
        click.echo(KEY_IS_YOUNGER)
    click.echo(_deciding(question))
    click.echo(WHY_THE_NAME)
    typed = click.prompt("Name of what is acted on", default="", show_default=False)
    if typed != question.name:
        why = f"{_shown(typed)} is not the name of what this call acts on"
        raise ApprovalRefused(f"Not approved: {why}. Nothing was decided; {question.code} still waits.")
    who = _answer(settings, question, approved=True)
    click.echo(f"Approved by {who}, once, for exactly this call, until {written(question.expires)}.")


@approvals.command(epilog=CODES)
@click.argument("code")
@exits
def decline(code: str) -> None:
    """Decline the question CODE, signed with your passphrase; the agent learns of it."""
    from ap_mcp.settings import load_settings
    from ap_mcp.vendor import written

    settings = load_settings()
    question = _waiting(settings, code)
    who = _answer(settings, question, approved=False)
    click.echo(f"Declined by {who}. The same call is refused until {written(question.expires)}.")


@approvals.command(epilog=CODES)
@click.argument("code")
@exits
def withdraw(code: str) -> None:
    """Withdraw the question CODE: nobody decides it any more, and an approval that was not used yet is void.

    That is neither a yes nor a no, so it needs no passphrase: the agent may ask again.
    """
    from ap_mcp.guard.callers import local_user
    from ap_mcp.settings import load_settings

    settings = load_settings()
    question = _found(store := _store(settings), code).question
    _run(store.withdraw, question.code, local_user(), _now(store))
    click.echo(f"Withdrawn: {question.code} ({_line(question.tool)} of {_shown(question.name)}). Nothing was sent.")


def _waiting(settings: "Settings", code: str) -> "Question":
    """Show a question that can still be answered, here and now."""
    from ap_mcp.errors import ApprovalRefused
    from ap_mcp.guard.approvals import standing
    from ap_mcp.guard.keys import has_key
    from ap_mcp.vendor import written

    now = _now(store := _store(settings))
    asked = _found(store, code)
    question, found = asked.question, standing(asked, _approvers(settings), now)
    if found.state == "expired":
        why = f"it expired at {written(question.expires)}; it must be asked anew"
        raise ApprovalRefused(f"{question.code} cannot be decided: {why}.")
    if found.state != "pending":
        done = f"it is {found.state}{f' by {found.approver}' if found.approver else ''} already"
        raise ApprovalRefused(f"{question.code} cannot be decided: {done}{f' ({found.why})' if found.why else ''}.")
    if not has_key(settings.approver_dir):
        why = f"there is no approver's key in {settings.approver_dir}"
        raise ApprovalRefused(f"{question.code} cannot be decided: {why}. Make one with: ap-mcp approvals init")
    click.echo(_described(question, now))
    names = (question.tool, question.name, question.principal, question.client, question.region, question.project)
    lines = (*names, question.effect, question.profile)
    if any(text != _line(text) for text in lines) or question.impact_text != _visible(question.impact_text):
        why = "it holds characters that cannot be seen, so you cannot know what you would sign"
        raise ApprovalRefused(f"{question.code} cannot be decided: {why}.")
    return question


def _answer(settings: "Settings", question: "Question", *, approved: bool) -> str:
    """Sign an answer, keep it, and make sure that it counts."""
    from ap_mcp.errors import ApprovalRefused
    from ap_mcp.guard.approvals import standing
    from ap_mcp.guard.keys import sign, unlock

    click.echo(WHY_YOUR_KEY)
    approver = unlock(
        settings.approver_dir, click.prompt("Passphrase", hide_input=True, default="", show_default=False)
    )
    store = _store(settings)
    _run(store.decide, question.code, sign(approver, question, approved, _now(store)))
    found = standing(_found(store, question.code), _approvers(settings), _now(store))
    if found.state != ("approved" if approved else "declined"):
        raise ApprovalRefused(f"The answer was kept but does not count: {found.why or found.state}.")
    return approver.name


def _store(settings: "Settings") -> "ApprovalStore":
    from ap_mcp.state.shared import store_from

    return store_from(settings, keeps=False)


def _is_younger(settings: "Settings", question: "Question") -> bool:
    """Say whether the list of approvers has changed since a question was asked, by a server that knows the old one."""
    from ap_mcp.guard.keys import APPROVERS_FILE

    try:
        changed = (settings.approver_dir / APPROVERS_FILE).stat().st_mtime
    except OSError:
        return False
    return changed > question.created.timestamp()


def _approvers(settings: "Settings") -> "Approvers":
    from ap_mcp.guard.approvers import load_approvers
    from ap_mcp.guard.keys import APPROVERS_FILE

    return load_approvers(settings.approver_dir / APPROVERS_FILE)


def _run(call: "Callable[..., Awaitable[T]]", *arguments: Any) -> T:
    """Return what a call of the store returns; in a thread, for `ap-mcp call` runs this inside a loop of its own."""
    from concurrent.futures import ThreadPoolExecutor

    import anyio

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, call, *arguments).result()


def _found(store: "ApprovalStore", code: str) -> "Asked":
    from ap_mcp.errors import CallRefused

    asked = _run(store.find, code)
    if asked is None:
        raise CallRefused(f"There is no question {_shown(code)}. What waits is listed by: ap-mcp approvals list")
    return asked


def _described(question: "Question", now: datetime) -> str:
    """Return a question as it is shown; what servers wrote is set off, so that it cannot pass for our own words."""
    from ap_mcp.vendor import written

    lines = [
        f"Question {question.code}, asked {written(question.created)}, {_left(question, now)}",
        f"Where: {_where(question)}",
        f"Asked {_for_whom(question)}" + (" (another person must decide)" if question.other_approver else ""),
        f"Tool: {_line(question.tool)} (effect: {_line(question.effect)})",
        "Arguments:",
        *(f"  | {line}" for line in _argument_lines(question.arguments)),
        "What would happen:",
        *(f"  | {line}" for line in _visible(question.impact_text).split("\n")),
        f"It acts on: {_shown(question.name)}",
    ]
    return "\n".join(lines)


def _deciding(question: "Question") -> str:
    """Return the lines that decide, which a long question has pushed off a small screen."""
    lines = [
        f"Question {question.code}: {_line(question.tool)} (effect: {_line(question.effect)})",
        f"Where: {_where(question)}",
        f"It acts on: {_shown(question.name)}",
    ]
    return "\n".join(lines)


def _where(question: "Question") -> str:
    """Return where a call goes; that it is simulated comes first."""
    simulated = "SIMULATED, nothing real is touched, " if question.simulated else ""
    profile = f"profile {_shown(question.profile)}, " if question.profile else ""
    return f"{simulated}{profile}region {_shown(question.region)}, project {_shown(question.project)}"


def _for_whom(question: "Question") -> str:
    """Return for whom a call is made, and which program asks."""
    client = f" through {_shown(question.client)}" if question.client else ""
    return f"for {_shown(question.principal)}{client}"


def _argument_lines(text: str) -> list[str]:
    from ap_mcp.wording import in_order

    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return [_line(text)]
    shown = (f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return [in_order(_line(each)) for each in shown] or ["none"]


def _shown(text: str) -> str:
    """Return a name, code or the like in quotation marks, on one line, every character of it visible."""
    return f'"{_line(text)}"'


def _line(text: str) -> str:
    return _visible(text).replace("\n", "\\n")


def _visible(text: str) -> str:
    """Return a text in which what a terminal would obey or hide is spelt out."""
    return "".join(char if _is_plain(char) else f"\\u{ord(char):04x}" for char in text)


def _is_plain(char: str) -> bool:
    return char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


def _left(question: "Question", now: datetime) -> str:
    minutes = (question.expires - now).total_seconds() / 60
    if minutes <= 0:
        return "expired"
    return f"{minutes:.0f} min left" if minutes >= 1 else "less than a minute left"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise click.UsageError("Your user name is not known here; give one with --name.") from error


def _now(store: "ApprovalStore") -> datetime:
    """Return the time that counts for consents: of this machine, or of what several share."""
    return _run(store.time)
