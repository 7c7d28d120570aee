"""`ap-mcp call` at a real terminal: it shows what would happen, and wants a name and a passphrase before it is sent."""

import json
import os
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from approving import PASSPHRASE
from forking import python

from ap_mcp.errors import ApprovalRequired
from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.callers import Caller, local_user
from ap_mcp.guard.keys import init_key
from ap_mcp.simulator.constants import HOST_SUBNET_ID, SUBNET_IDS, TEAM_SANDBOX, VPC_ID
from ap_mcp.state.consent_file import ConsentFile
from ap_mcp.summaries import Result

SECONDS = 60
IMPATIENCE = 3.0
"""Seconds until somebody presses Ctrl-C again."""
DELETE = ("delete_cluster", "cluster_id=team-sandbox")
NAME, SECRET = "Name of what is acted on: ", "Passphrase: "
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal on standard input the one that `/dev/tty` means, and becomes the program."""
BROKEN_OFF = "delete_cluster was not run: It was broken off. Nothing was sent."
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """A program at a terminal, the person there, and what was shown so far."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self.screen = screen
        self.shown = ""
        self.read_to = 0
        self.pressed = ""
        self.deadline = time.monotonic() + SECONDS

    def see(self, text: str) -> None:
        """Wait until a text stands on the screen, after whatever was seen before."""
        while text not in self.shown[self.read_to :]:
            if self.pressed == CTRL_C and self._silent():
                os.write(self.screen, CTRL_C.encode())
                continue
            assert self._more(), f"{text!r} never came: {self.shown}"
        self.read_to = self.shown.index(text, self.read_to) + len(text)

    def type(self, text: str) -> None:
        """Press keys, and Enter unless they are keys that end something.

        A test is quicker than a person: Ctrl-C just before Python begins to read is kept until that has ended.
        So it is pressed again, as one would, if nothing happens.
        """
        self.pressed = text if text in (CTRL_C, CTRL_D) else f"{text}\n"
        os.write(self.screen, self.pressed.encode())

    def end(self) -> int:
        """Wait until the program has left; return its exit code."""
        while self._more():
            pass
        assert termios.tcgetattr(self.screen)[3] & termios.ECHO, "the terminal was left without echo"
        return self.process.wait(SECONDS)

    def _silent(self) -> bool:
        assert time.monotonic() < self.deadline, f"not done after {SECONDS} s: {self.shown}"
        ready, _, _ = select.select([self.screen], [], [], IMPATIENCE)
        return not ready

    def _more(self) -> bool:
        while self._silent():
            pass
        try:
            read = os.read(self.screen, 4096)
        except OSError:  # Linux says so when the other end is closed
            return False
        self.shown += read.decode(errors="replace").replace("\r\n", "\n")
        return bool(read)


def environment(home: Path) -> dict[str, str]:
    ours = ("AP_MCP_", "HUAWEICLOUD_", "HW_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"HOME": str(home), "TERM": "dumb"}


@contextmanager
def calling(
    home: Path,
    *arguments: str,
    afresh: bool = False,
    to_file: Path | None = None,
    command: str = "call",
    **more: str,
) -> Iterator[Terminal]:
    """Start `ap-mcp call --simulate` at a terminal of its own, forked or afresh; results may go to a file."""
    screen, theirs = os.openpty()
    words = ["-m", "ap_mcp", command, "--simulate", *arguments]
    started = [sys.executable, "-c", OWN_TERMINAL, sys.executable, *words] if afresh else [python(), *words]
    streams: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    try:
        with to_file.open("wb") if to_file else nullcontext(theirs) as streams["stdout"]:
            process = subprocess.Popen(
                started, **streams, env=environment(home) | more, cwd=home, start_new_session=True
            )
        os.close(theirs)
        with process:
            try:
                yield Terminal(process, screen)
            finally:
                process.kill()
    finally:
        os.close(screen)


def phase(home: Path) -> str:
    """The phase of the sandbox in the account that is kept between calls."""
    kept = json.loads((home / ".local/state/ap-mcp/simulator.json").read_text())
    return str(kept["world"]["tables"]["clusters"][TEAM_SANDBOX]["status"]["phase"])


def audited(home: Path) -> Iterator[Mapping[str, str]]:
    log = home / ".local/state/ap-mcp/audit.jsonl"
    return map(json.loads, log.read_text().splitlines()) if log.exists() else iter(())


def waiting(home: Path) -> Sequence[Question]:
    return ConsentFile(home / ".local/state/ap-mcp/approvals.db").pending(datetime.now(UTC))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user who is an approver, with a passphrase that is cheap to try."""
    monkeypatch.setattr("ap_mcp.guard.keys.SCRYPT_COST", 2**10)
    init_key(tmp_path / ".config" / "ap-mcp", "alice", PASSPHRASE)
    return tmp_path


def test_whoever_reads_types_the_name_and_knows_the_passphrase_gets_the_call_through(home: Path) -> None:
    with calling(home, *DELETE, afresh=True) as terminal:
        for text in ("SIMULATED", "Tool: delete_cluster (effect: destroy)", "cluster_id: ", "Deletes cluster team-"):
            terminal.see(text)
        terminal.see(NAME)
        terminal.type("team-sandbox")
        terminal.see(SECRET)
        terminal.type(PASSPHRASE)
        terminal.see("Approved by alice, once")
        terminal.see("team-sandbox is being deleted.")
        assert terminal.end() == 0
    assert PASSPHRASE not in terminal.shown
    assert phase(home) == "Deleting"
    decided, finished = audited(home)
    assert (decided["channel"], decided["approver"], finished["result"]) == ("approval", "alice", "succeeded")


def test_results_go_to_standard_output_and_the_talk_to_the_terminal(home: Path) -> None:
    results = home / "results.json"
    with calling(home, *DELETE, "--output", "json", to_file=results) as terminal:
        terminal.see("Deletes cluster team-sandbox")
        terminal.see(NAME)
        terminal.type("team-sandbox")
        terminal.see(SECRET)
        terminal.type(PASSPHRASE)
        terminal.see("Approved by alice")
        assert terminal.end() == 0
    assert json.loads(results.read_text())["cluster_id"] == TEAM_SANDBOX


@pytest.mark.parametrize(
    ("typed", "said", "decision"),
    [
        (["team-sandbo"], '"team-sandbo" is not the name of what this call acts on', "wrong name"),
        ([""], '"" is not the name of what this call acts on', "wrong name"),
        (["yes"], '"yes" is not the name', "wrong name"),
        (["team-sandbox", "correct horse batterie"], "The passphrase does not open", "wrong passphrase"),
        (["team-sandbox", ""], "The passphrase does not open", "wrong passphrase"),
        ([CTRL_C], BROKEN_OFF, "broken off"),
        (["team-sandbox", CTRL_C], BROKEN_OFF, "broken off"),
        ([CTRL_D], BROKEN_OFF, "broken off"),
        (["team-sandbox", CTRL_D], BROKEN_OFF, "broken off"),
    ],
)
def test_whoever_does_not_gets_nothing_sent_which_the_audit_says_and_leaves_no_question(
    home: Path, typed: list[str], said: str, decision: str
) -> None:
    with calling(home, *DELETE) as terminal:
        for prompt, text in zip((NAME, SECRET), typed, strict=False):
            terminal.see(prompt)
            terminal.type(text)
        terminal.see(f"\n{said}" if said.startswith("delete_cluster") else said)
        assert terminal.end() == 4
    assert "Traceback" not in terminal.shown
    assert phase(home) == "Available"
    (line,) = audited(home)
    assert (line["event"], line["decision"], line["target"]) == ("refused", decision, "team-sandbox")
    assert said.removeprefix("delete_cluster was not run: ").removesuffix(" Nothing was sent.") in line["reason"]
    # The next call asks anew, so this question must not wait beside that.
    assert "was withdrawn: the next call asks anew." in terminal.shown
    assert not waiting(home)


def test_without_an_approvers_key_it_says_how_one_is_made(tmp_path: Path) -> None:
    with calling(tmp_path, *DELETE) as terminal:
        terminal.see("Nobody was asked: no approver's key is here.")
        terminal.see("Deletes cluster team-sandbox")
        terminal.see("ap-mcp approvals init")
        assert terminal.end() == 3
    assert phase(tmp_path) == "Available"


@pytest.mark.parametrize(("flags", "code"), [(["--yes"], 3), (["--confirm", "deny"], 4), (["--read-only"], 4)])
def test_a_person_who_could_not_say_yes_is_not_asked(home: Path, flags: list[str], code: int) -> None:
    with calling(home, *DELETE, *flags) as terminal:
        assert terminal.end() == code
    assert NAME not in terminal.shown
    assert phase(home) == "Available"


def test_what_a_rule_lets_go_is_not_asked_about(home: Path) -> None:
    rules = home / "policy.toml"
    rules.write_text('rules = [{ decision = "allow", clusters = ["team-*"], effects = ["destroy"] }]')
    with calling(home, *DELETE, "--yes", AP_MCP_POLICY_FILE=str(rules)) as terminal:
        terminal.see("team-sandbox is being deleted.")
        assert terminal.end() == 0
    assert phase(home) == "Deleting"


def test_what_another_must_approve_cannot_be_approved_by_the_requester(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ap_mcp.guard.keys.SCRYPT_COST", 2**10)
    init_key(tmp_path / ".config" / "ap-mcp", local_user(), PASSPHRASE)
    rules = tmp_path / "policy.toml"
    rules.write_text('rules = [{ decision = "ask", effects = ["destroy"], approver = "other" }]')
    with calling(tmp_path, *DELETE, AP_MCP_POLICY_FILE=str(rules)) as terminal:
        terminal.see("(another person must decide)")
        terminal.see(NAME)
        terminal.type("team-sandbox")
        terminal.see(SECRET)
        terminal.type(PASSPHRASE)
        terminal.see("it needs somebody other than")
        assert terminal.end() == 4
    assert phase(tmp_path) == "Available"
    assert [line["decision"] for line in audited(tmp_path)] == ["not approved"]
    assert len(waiting(tmp_path)) == 1  # for the other one


class Restless:
    """Stands in for a server on which something changes whenever it was approved, so often."""

    settings = None

    def __init__(self, changes: int) -> None:
        self.changes = changes

    async def call(self, tool: str, *_: object, **__: object) -> Result:
        if self.changes < 0:
            return Result(summary="done")
        self.changes -= 1
        raise ApprovalRequired(tool, "destroy", "Deletes it.", "AAAA-2222")


@pytest.mark.anyio
@pytest.mark.parametrize(("changes", "asked", "done"), [(-1, 0, True), (0, 1, True), (2, 3, True), (3, 3, False)])
async def test_what_has_changed_while_somebody_read_is_shown_again_twice_at_most(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: int, asked: int, done: bool
) -> None:
    approved: list[str] = []
    # The modules hide behind the commands of the same names.
    command: Any = import_module("ap_mcp.cli.call")
    monkeypatch.setattr(
        import_module("ap_mcp.cli.approvals"), "approve_here", lambda _, code, **__: approved.append(code)
    )
    with nullcontext() if done else pytest.raises(ApprovalRequired):
        await command._consented(Restless(changes), "delete_cluster", {}, Caller("ivan"), asking=True)
    assert approved == ["AAAA-2222"] * asked
    assert capsys.readouterr().err.count("has changed since you were asked") == max(asked - 1, 0)


def test_a_wait_on_a_terminal_goes_on_to_the_end_and_shows_how_far_it_is(home: Path) -> None:
    made = home / "made.json"
    with calling(
        home,
        "create_cluster",
        "name=long-wait",
        f"vpc_id={VPC_ID}",
        f"subnet_id={HOST_SUBNET_ID}",
        f"eni_subnet_ids={json.dumps([SUBNET_IDS[0]])}",
        "enable_snat=true",
        "--output",
        "json",
        to_file=made,
    ) as terminal:
        assert terminal.end() == 0
    job = json.loads(made.read_text())["job_id"]
    with calling(home, "wait_for", "kind=job", f"id={job}", TERM="xterm") as terminal:
        terminal.see("0%")
        terminal.see("CreateCluster is running: ")
        assert terminal.end() == 0
    assert "ended: true" in re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown)
    # What has ended by then is waited for with a line as well, so that a person sees that the call began.
    with calling(home, "wait_for", "kind=job", f"id={job}", TERM="xterm") as terminal:
        terminal.see(" 0%")
        assert terminal.end() == 0


TAG = ("add_cluster_tags", "cluster_id=shop-prod", 'tags={"a":"b"}')


def test_a_list_on_a_terminal_is_in_columns_with_states_in_colour(home: Path) -> None:
    with calling(home, "list_clusters", TERM="xterm") as terminal:
        terminal.see("name              phase")
        terminal.see("legacy-import")
        terminal.see("\x1b[1;31mError")
        assert terminal.end() == 0
    assert "PRODUCTION" not in terminal.shown


@pytest.mark.parametrize(("term", "no_color"), [("dumb", ""), ("xterm", "1")])
def test_a_terminal_without_colours_shows_what_agents_read(home: Path, term: str, no_color: str) -> None:
    with calling(home, *TAG, TERM=term, NO_COLOR=no_color) as terminal:
        assert terminal.end() == 0
    assert "cluster_id: " in terminal.shown
    assert "\x1b[1m" not in terminal.shown
    assert "PRODUCTION" not in terminal.shown


def test_results_that_go_elsewhere_are_as_agents_read_them(home: Path) -> None:
    results = home / "results.txt"
    with calling(home, "list_charts", to_file=results, TERM="xterm") as terminal:
        assert terminal.end() == 0
    assert "- 2b6f0d18-7a31-11ef-9b40-0255ac100c01  name=payments-api version=1.8.2 " in results.read_text()
    with calling(home, *TAG, "--output", "json", TERM="xterm") as terminal:
        assert terminal.end() == 0
    assert "PRODUCTION" not in terminal.shown
    assert json.loads(terminal.shown[terminal.shown.index("{") :])["set"] == {"a": "b"}


@pytest.mark.parametrize(
    ("arguments", "warns"),
    [
        (TAG, True),
        (("delete_cluster", "cluster_id=shop-prod", "--yes"), True),
        (("delete_cluster", "cluster_id=team-sandbox", "--yes"), False),
        (("get_cluster", "cluster_id=shop-prod"), False),
        (("delete_cluster", "cluster_id=none-of-that-name"), False),
    ],
)
def test_a_call_that_changes_production_says_so_before_anything_else(
    home: Path, arguments: tuple[str, ...], warns: bool
) -> None:
    with calling(home, *arguments, TERM="xterm") as terminal:
        terminal.end()
    assert ("PRODUCTION: cluster shop-prod, tag env=prod" in terminal.shown) == warns
    if warns:
        assert terminal.shown.index("PRODUCTION") < terminal.shown.rindex(
            "shop-prod" if "--yes" in arguments else "tag set"
        )


def test_whoever_starts_the_server_by_hand_is_told_that_it_waits_for_a_client(home: Path) -> None:
    with calling(home, command="serve") as terminal:
        terminal.see("ap-mcp waits for an MCP client on standard input")
        terminal.see("To call a tool from here: ap-mcp call.")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
