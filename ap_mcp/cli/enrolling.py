"""`ap-mcp approvals enrol` and `accept`: how somebody comes to approve on the page, by a passkey."""

from typing import TYPE_CHECKING

import click

from ap_mcp.cli.options import CODES, exits

if TYPE_CHECKING:
    from ap_mcp.settings import Settings

WHY_THE_FINGERPRINT = (
    "Ask them, by a way that you trust, which fingerprint their page has shown: it must be this one. If it is another, "
    "the line is somebody else's."
)
WHO_THEY_ARE = "Of the callers over HTTP they are: {stated}. Where another person must approve, those are refused."
SERVERS = "Servers over HTTP count it from now on; a server on stdio does after its next start."


@click.command(epilog=CODES, short_help="Make a one-time link to make a passkey with.")
@click.argument("name")
@exits
def enrol(name: str) -> None:
    """Make a one-time link with which NAME makes a passkey for the approval page.

    It works once, within 15 minutes, on the page of a server that uses the same store. What the page shows them then
    is for you to enter, with `ap-mcp approvals accept`; before that the passkey counts for nothing.
    """
    from ap_mcp.cli.approvals import run, store_of, time_of
    from ap_mcp.settings import load_settings
    from ap_mcp.vendor import written
    from ap_mcp.web.enrolment import Invitation

    settings = load_settings()
    address, invitation = page_address(settings), Invitation(name)
    store = store_of(settings)
    record = invitation.record(time_of(store))
    run(store.open, record)
    click.echo(invitation.link(address))
    click.echo(f"Give this link to {name} alone. It works once, until {written(record.expires)}.", err=True)


@click.command(epilog=CODES, short_help="Enter a passkey among the approvers.")
@click.argument("line")
@click.option(
    "--principal",
    "principals",
    multiple=True,
    metavar="PRINCIPAL",
    help='A caller over HTTP that is the same person, "token:NAME" or "issuer|subject"; may be given several times.',
)
@exits
def accept(line: str, *, principals: tuple[str, ...]) -> None:
    """Enter a passkey among the approvers: LINE is what the page has shown to who made it.

    Where a rule wants somebody other than the caller to approve, an approver does not count for their own calls:
    --principal says which those are.
    """
    from ap_mcp.errors import ApprovalRefused, ApprovalsUnusable
    from ap_mcp.guard.approvers import load_approvers, save_approvers, with_passkey
    from ap_mcp.guard.keys import APPROVERS_FILE
    from ap_mcp.guard.showing import quoted
    from ap_mcp.private_files import make_private_folder
    from ap_mcp.settings import load_settings
    from ap_mcp.web.enrolment import read_line

    settings, made = load_settings(), read_line(line)
    path = settings.approver_dir / APPROVERS_FILE
    known = load_approvers(path)
    listed = with_passkey(known, made.name, made.passkey, principals)
    click.echo(
        f"{made.name} made a passkey for {made.passkey.origin}, with the fingerprint {made.passkey.fingerprint}."
    )
    click.echo(WHY_THE_FINGERPRINT)
    stated = ", ".join(map(quoted, sorted(listed[made.name].principals or ()))) or "none"
    click.echo(WHO_THEY_ARE.format(stated=stated))
    prompt = (
        f"To enter it for {made.name}, who is {'an' if made.name in known else 'no'} approver so far, type the name"
    )
    typed = click.prompt(prompt, default="", show_default=False)
    if typed != made.name:
        raise ApprovalRefused(f"{quoted(typed)} is not the name. Nothing was changed.")
    _prove(settings)
    try:
        make_private_folder(path.parent)
        save_approvers(path, listed)
    except OSError as error:
        raise ApprovalsUnusable(f"{path} cannot be written: {error.strerror}. Nothing was changed.") from error
    click.echo(f"{made.name} may approve by this passkey: {path}. {SERVERS}")


def page_address(settings: "Settings") -> str:
    """Return the address of the approval page, which passkeys are bound to.

    Raises:
        SettingsError: it is not known, or browsers have no passkeys there.
    """
    from urllib.parse import urlsplit

    from ap_mcp.errors import SettingsError
    from ap_mcp.guard.passkeys import rp_id_of

    if settings.public_url is None:
        raise SettingsError(
            "AP_MCP_PUBLIC_URL: a passkey is bound to the address of the page, which is not known here. Set it as for "
            "the server; one on this machine alone has http://localhost:PORT."
        )
    parts = urlsplit(settings.public_url)
    if not rp_id_of(f"{parts.scheme}://{parts.netloc}"):
        raise SettingsError(
            f"AP_MCP_PUBLIC_URL: browsers have no passkeys at {settings.public_url}: it must be https:// with the name "
            "of a host, or http://localhost:PORT."
        )
    return settings.public_url


def _prove(settings: "Settings") -> None:
    """Have whoever has a key here prove that they know its passphrase: running a command makes nobody an approver."""
    from ap_mcp.guard.keys import has_key, unlock

    if has_key(settings.approver_dir):
        click.echo("An approver's key is here: its passphrase shows that it is you who enters another.")
        unlock(settings.approver_dir, click.prompt("Passphrase", hide_input=True, default="", show_default=False))
