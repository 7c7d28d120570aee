"""`ap-mcp approvals`: what waits for a person, and their signed answers."""

import getpass
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ap_mcp.cli.enrolling import accept, enrol
from ap_mcp.cli.options import CODES, exits, settings_options

if TYPE_CHECKING:
    from ap_mcp.guard.approval_requests import Asked, Question
    from ap_mcp.guard.approvals import Approvers
    from ap_mcp.guard.stores import ApprovalStore
    from ap_mcp.settings import Settings

T = TypeVar("T")

TRIES = 3
CHOICE = "Choose a passphrase that nothing on this machine knows: an agent that has it can approve its own calls."
WHY_THE_NAME = "Typing its name shows that you have read what this is about."
KEY_IS_YOUNGER = (
    "The list of approvers has changed since this was asked. If the server that asks is one on stdio and was not "
    "restarted since, your approval does not count there: restart it, and let the call be made again."
)
WHY_YOUR_KEY = "The passphrase unlocks your key, which signs exactly what stands above: it counts for nothing else."


@click.group(epilog=CODES)
def approvals() -> None:
    """See and decide what waits for a person.

    A guarded call from a client that cannot ask anybody answers with a code. Read it here, decide, and the
    agent makes the call again. A server on stdio accepts only the approvers it knew when it started, one over HTTP
    those that are listed at the time.
    """


approvals.add_command(enrol)
approvals.add_command(accept)


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
    click.echo("Servers on stdio read that file when they start: restart those, or your approvals do not count there.")
    click.echo("Servers over HTTP see the change by themselves.")


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


@approvals.command(
    name="test-webhook",
    epilog="Exit codes: 0 posted to all, 2 wrong usage, 6 one of them failed.",
    short_help="Post a message, marked as a test, to each webhook.",
)
@exits
def test_webhook() -> None:
    """Post a message, marked as a test, to each webhook of AP_MCP_APPROVAL_WEBHOOK."""
    import anyio

    from ap_mcp.errors import SettingsError, WebhookFailed
    from ap_mcp.settings import load_settings

    settings = load_settings()
    if not settings.webhooks:
        raise SettingsError("AP_MCP_APPROVAL_WEBHOOK names no webhook, so there is nothing to test.")
    failed = 0
    for place, why in anyio.run(_tried, settings):
        failed += bool(why)
        click.echo(f"{place}: {why or 'posted'}", err=bool(why))
    if failed:
        raise WebhookFailed(failed, len(settings.webhooks))


async def _tried(settings: "Settings") -> list[tuple[str, str]]:
    """Return of each webhook how it is called, and why a test could not be posted to it."""
    from functools import partial

    from ap_mcp.cloud.lines import outward_lines
    from ap_mcp.guard.lifetimes import wall_clock
    from ap_mcp.webhooks.notice import trial
    from ap_mcp.webhooks.posting import Posting

    posting = Posting(settings.webhooks, partial(outward_lines, settings))
    found = [(str(each), await posting.post(each, trial(wall_clock()))) for each in settings.webhooks]
    await posting.close()
    return found


@approvals.command(name="list", epilog=CODES, short_help="List what waits for a person.")
@click.option("--all", "everything", is_flag=True, help="Also what was decided, withdrawn or has expired of late.")
@settings_options("profile")
@exits
def list_(*, everything: bool, profile: str | None) -> None:
    """List what waits for a person; what is simulated comes last, and is marked.

    With a profile, here or in AP_MCP_PROFILE, only what goes there; how much else there is, is said.
    """
    from ap_mcp.guard.showing import outcome
    from ap_mcp.settings import load_settings

    settings = load_settings(profile=profile)
    approvers = _approvers(settings)  # reported here too if it is wrong: no answer would count
    now = time_of(store := store_of(settings))
    every = run(store.pending, now)
    past = run(store.history, now) if everything else []
    there = _places(settings)
    waiting = [each for each in every if there is None or each.profile in there]
    ended = [each for each in past if there is None or each.question.profile in there]
    for each in sorted(waiting, key=lambda question: question.simulated):
        click.echo(_row(each, now))
    if not waiting:
        click.echo("Nothing waits for a person.")
    for asked in sorted(ended, key=lambda asked: asked.question.simulated):
        click.echo(_row(asked.question, now, outcome(asked, approvers, now)))
    if waiting or ended:
        click.echo("Show one with: ap-mcp approvals show CODE")
    if others := len(every) + len(past) - len(waiting) - len(ended):
        click.echo(f"Of other profiles: {others}, not shown.")


def _places(settings: "Settings") -> frozenset[str] | None:
    """Return the profiles whose questions are to be shown; None if all are."""
    if not settings.profile:
        return None
    from ap_mcp.profiles import profiles_of

    return frozenset(each.name for each in profiles_of(settings))


def _row(question: "Question", now: datetime, end: str = "") -> str:
    """Return a question on a line, and how it stands at its end: how long it can be decided, if nothing else."""
    from ap_mcp.guard.showing import shown

    seen = shown(question, now)
    return "  ".join([seen.code, seen.where, seen.tool, seen.name, seen.effect, seen.for_whom, end or seen.left])


@approvals.command(epilog=CODES)
@click.argument("code")
@exits
def show(code: str) -> None:
    """Show what the question CODE is about, and how it stands."""
    from ap_mcp.guard.showing import outcome
    from ap_mcp.settings import load_settings

    settings = load_settings()
    now = time_of(store := store_of(settings))
    asked = _found(store, code)
    click.echo(_described(asked.question, now))
    click.echo(f"Standing: {outcome(asked, _approvers(settings), now)}")


@approvals.command(epilog=CODES, short_help="Read a question, type the name of its target, and sign it.")
@click.argument("code")
@exits
def approve(code: str) -> None:
    """Approve the question CODE: read it, type the target's name, sign with your passphrase.

    The approval counts once, for exactly the call that is shown, on things as they are shown, until it expires.
    """
    from ap_mcp.settings import load_settings

    approve_here(load_settings(), code)
    click.echo("Nothing has been sent yet: a call that still waits for this goes on now by itself; else the agent must")
    click.echo("make the call again.")


def approve_here(settings: "Settings", code: str, *, keeps: bool = True) -> None:
    """Let the person at the terminal approve a question: shown, its target's name typed, signed.

    Args:
        settings: say where it waits, and where their key is.
        code: of the question.
        keeps: it goes on waiting if they do not do it right.

    Raises:
        ApprovalRefused: it cannot be decided, the name was another, or the answer would not count.
    """
    from ap_mcp.errors import ApprovalRefused
    from ap_mcp.guard.form_answers import WRONG_NAME
    from ap_mcp.guard.showing import quoted
    from ap_mcp.vendor import written

    question = _waiting(settings, code)
    if _is_younger(settings, question):
        click.echo(KEY_IS_YOUNGER)
    click.echo(_deciding(question))
    click.echo(WHY_THE_NAME)
    typed = click.prompt("Name of what is acted on", default="", show_default=False)
    if typed != question.name:
        why = f"{quoted(typed)} is not the name of what this call acts on"
        still = f"Nothing was decided; {question.code} still waits." if keeps else "Nothing was sent."
        raise ApprovalRefused(f"Not approved: {why}. {still}", WRONG_NAME)
    who = _answer(settings, question, approved=True)
    click.echo(f"Approved by {who}, once, for exactly this call, until {written(question.expires)}.")


@approvals.command(epilog=CODES, short_help="Decline a question, signed with your passphrase.")
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


@approvals.command(epilog=CODES, short_help="Withdraw a question: nobody decides it any more.")
@click.argument("code")
@exits
def withdraw(code: str) -> None:
    """Withdraw the question CODE: nobody decides it any more, and an approval that was not used yet is void.

    That is neither a yes nor a no, so it needs no passphrase: the agent may ask again.
    """
    from ap_mcp.guard.callers import local_user
    from ap_mcp.guard.showing import on_one_line, quoted
    from ap_mcp.settings import load_settings

    settings = load_settings()
    question = _found(store := store_of(settings), code).question
    run(store.withdraw, question.code, local_user(), time_of(store))
    click.echo(
        f"Withdrawn: {question.code} ({on_one_line(question.tool)} of {quoted(question.name)}). Nothing was sent."
    )


def withdraw_if_open(settings: "Settings", code: str) -> tuple[str, bool]:
    """Take a question away that nobody has decided; return its target's name, and whether it was taken away.

    The next call asks anew at this terminal, so the question would wait beside that one. What another person must
    decide goes on waiting for them, and an answer that somebody has given is theirs to withdraw.
    """
    from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable
    from ap_mcp.guard.callers import local_user

    name = ""
    try:
        asked = run((store := store_of(settings)).find, code)
        name = asked.question.name if asked is not None else ""
        if asked is None or asked.decision is not None or asked.question.other_approver:
            return name, False
        run(store.withdraw, code, local_user(), time_of(store))
    except (ApprovalRefused, ApprovalsUnusable):  # it has ended by itself, or ends where it cannot be reached
        return name, False
    return name, True


def _waiting(settings: "Settings", code: str) -> "Question":
    """Show a question that can still be answered, here and now."""
    from ap_mcp.errors import ApprovalRefused
    from ap_mcp.guard.approvals import standing
    from ap_mcp.guard.keys import has_key
    from ap_mcp.guard.showing import CANNOT_BE_SEEN, hides_something
    from ap_mcp.vendor import written

    now = time_of(store := store_of(settings))
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
    if hides_something(question):
        raise ApprovalRefused(f"{question.code} cannot be decided: {CANNOT_BE_SEEN}.")
    return question


def _answer(settings: "Settings", question: "Question", *, approved: bool) -> str:
    """Sign an answer, keep it, and make sure that it counts."""
    from ap_mcp.errors import ApprovalRefused
    from ap_mcp.guard.approvals import why_not_counted
    from ap_mcp.guard.keys import sign, unlock

    click.echo(WHY_YOUR_KEY)
    approver = unlock(
        settings.approver_dir, click.prompt("Passphrase", hide_input=True, default="", show_default=False)
    )
    store = store_of(settings)
    given = sign(approver, question, approved, time_of(store))
    run(store.decide, question.code, given)
    if why := why_not_counted(_found(store, question.code), given, _approvers(settings), time_of(store)):
        raise ApprovalRefused(f"The answer was kept but does not count: {why}.")
    return approver.name


def store_of(settings: "Settings") -> "ApprovalStore":
    """Return the store of questions, which the servers share."""
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


def run(call: "Callable[..., Awaitable[T]]", *arguments: Any) -> T:
    """Return what a call of the store returns; in a thread, for `ap-mcp call` runs this inside a loop of its own."""
    from concurrent.futures import ThreadPoolExecutor

    import anyio

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, call, *arguments).result()


def _found(store: "ApprovalStore", code: str) -> "Asked":
    from ap_mcp.errors import CallRefused
    from ap_mcp.guard.showing import quoted

    asked = run(store.find, code)
    if asked is None:
        raise CallRefused(f"There is no question {quoted(code)}. What waits is listed by: ap-mcp approvals list")
    return asked


def _described(question: "Question", now: datetime) -> str:
    """Return a question as it is shown; what servers wrote is set off, so that it cannot pass for our own words."""
    from ap_mcp.guard.showing import shown

    seen = shown(question, now)
    lines = [
        f"Question {seen.code}, asked {seen.asked}, {seen.left}",
        f"Where: {seen.where}",
        f"Asked {seen.for_whom}" + (" (another person must decide)" if seen.other_approver else ""),
        f"Tool: {seen.tool} (effect: {seen.effect})",
        "Arguments:",
        *(f"  | {line}" for line in seen.arguments),
        "What would happen:",
        *(f"  | {line}" for line in seen.impact),
        f"It acts on: {seen.name}",
    ]
    return "\n".join(lines)


def _deciding(question: "Question") -> str:
    """Return the lines that decide, which a long question has pushed off a small screen."""
    from ap_mcp.guard.showing import on_one_line, quoted, where

    lines = [
        f"Question {question.code}: {on_one_line(question.tool)} (effect: {on_one_line(question.effect)})",
        f"Where: {where(question)}",
        f"It acts on: {quoted(question.name)}",
    ]
    return "\n".join(lines)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise click.UsageError("Your user name is not known here; give one with --name.") from error


def time_of(store: "ApprovalStore") -> datetime:
    """Return the time that counts for consents: of this machine, or of what several share."""
    return run(store.time)
