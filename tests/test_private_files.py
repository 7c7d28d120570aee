"""What decides what this program does is taken only from files and folders that nobody else can change."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ap_mcp.cli.checkup import credentials
from ap_mcp.credentials import Places, find_credentials
from ap_mcp.errors import ApMcpError, FileRefused, SettingsError
from ap_mcp.files import save_result
from ap_mcp.guard.policy_file import load_policy
from ap_mcp.private_files import make_folders, others_may_read, text_of
from ap_mcp.profiles import Profile
from ap_mcp.settings import Settings, load_settings
from ap_mcp.simulator.seed import kept_world

SETTINGS = 'region = "ap-southeast-1"\n'
CREDENTIALS = "[basic]\nak = AK\nsk = the-secret\n"
POLICY = '[[rules]]\ndecision = "deny"\ntools = ["delete_cluster"]\n'


def read_settings(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_CONFIG", str(path))
    assert load_settings().region == "ap-southeast-1"


def read_credentials(path: Path, _: pytest.MonkeyPatch) -> None:
    assert find_credentials({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(path)}).source == str(path)


def read_policy(path: Path, _: pytest.MonkeyPatch) -> None:
    assert len(load_policy(path, Settings()).rules) == 1


FILES = [(SETTINGS, read_settings), (CREDENTIALS, read_credentials), (POLICY, read_policy)]
Read = Callable[[Path, pytest.MonkeyPatch], None]
each_file = pytest.mark.parametrize(("content", "read"), FILES, ids=["settings", "credentials", "policy"])


@pytest.fixture
def open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@each_file
@pytest.mark.parametrize("mode", [0o666, 0o622, 0o660])
def test_a_file_that_others_may_change_is_refused(
    content: str, read: Read, mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a-file"
    path.write_text(content)
    path.chmod(0o644)
    read(path, monkeypatch)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"other users may change {path}; close it with: chmod go-w {path}"):
        read(path, monkeypatch)


@each_file
def test_a_file_that_others_may_replace_is_refused_unless_the_folder_forbids_that(
    content: str, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shared" / "a-file"
    path.parent.mkdir()
    path.write_text(content)
    path.parent.chmod(0o1777)
    read(path, monkeypatch)
    path.parent.chmod(0o777)
    with pytest.raises(SettingsError, match=f"other users may change {path.parent}"):
        read(path, monkeypatch)


@each_file
def test_the_file_of_another_user_is_refused(
    content: str, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a-file"
    path.write_text(content)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid == 0:
        os.chown(path, 12345, -1)
    with pytest.raises(SettingsError, match="belongs to another user"):
        read(path, monkeypatch)


@each_file
def test_a_link_is_followed_and_what_it_leads_to_judged(
    content: str, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text(content)
    link.symlink_to(target)
    read(link, monkeypatch)
    target.chmod(0o666)
    with pytest.raises(SettingsError, match="other users may change"):
        read(link, monkeypatch)


@each_file
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_taken(
    content: str, read: Read, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a-file"
    path.write_bytes(content.encode(encoding))
    read(path, monkeypatch)


def test_the_mark_is_no_part_of_the_text() -> None:
    assert text_of("\ufeffä".encode()) == "ä"


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_results_are_not_saved_where_others_could_change_them(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(FileRefused, match=r"other users may change .*AP_MCP_FILES_DIR"):
        save_result(folder, "a.yaml", b"secret")
    assert list(folder.iterdir()) == []
    folder.chmod(0o1777)
    assert save_result(folder, "a.yaml", b"secret").path.read_bytes() == b"secret"


def test_results_are_not_saved_in_the_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    if owner == 0:
        os.chown(tmp_path, 12345, -1)
    with pytest.raises(FileRefused, match="belongs to another user"):
        save_result(tmp_path, "a.yaml", b"secret")


def saved(folder: Path) -> None:
    save_result(folder, "a.yaml", b"secret")


def simulated(folder: Path) -> None:
    with kept_world(folder / "simulator.json"):
        pass


@pytest.mark.usefixtures("open_to_all")
@pytest.mark.parametrize("make", [saved, simulated, make_folders])
def test_folders_of_ours_are_their_owners_only_whatever_the_umask(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "a" / "b" / "c")
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * 3


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(ApMcpError):
        save_result(tmp_path / "a" / "b", "a.yaml", b"")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows closes files by their access lists")
@pytest.mark.parametrize(("mode", "open_to_others"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_may_read_is_seen(mode: int, open_to_others: bool, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[basic]\nak = AK\nsk = SKSK\n")
    file.chmod(mode)
    assert others_may_read(file) == open_to_others
    (found,) = credentials(Profile("eu", Settings(), Places(file=file)))
    assert (found.state == "warning") == open_to_others
    assert (f"chmod go-rwx {file}" in found.advice) == open_to_others
