import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp import files
from ap_mcp.errors import FileRefused
from ap_mcp.files import read_upload, safe_name, save_result

LIMIT = 1024


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "charts"
    folder.mkdir()
    (folder / "chart.tgz").write_bytes(b"chart")
    (tmp_path / "secret.txt").write_bytes(b"outside")
    return folder


def test_a_result_is_saved_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    saved = save_result(folder, "kubeconfig-shop.json", b"content")
    assert saved.path == folder / "kubeconfig-shop.json"
    assert saved.path.read_bytes() == b"content"
    assert (saved.bytes, saved.sha256) == (7, hashlib.sha256(b"content").hexdigest())
    assert mode_of(saved.path) == 0o600
    assert mode_of(folder) == 0o700


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    names = [save_result(tmp_path, "chart-1.2.tar.gz", bytes([number])).path.name for number in range(3)]
    assert names == ["chart-1.2.tar.gz", "chart-1.2-2.tar.gz", "chart-1.2-3.tar.gz"]
    assert (tmp_path / names[0]).read_bytes() == b"\x00"


def test_a_link_that_waits_under_the_name_is_neither_followed_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "chart.tgz").symlink_to(tmp_path / "victim")
    saved = save_result(tmp_path / "out", "chart.tgz", b"x")
    assert saved.path.name == "chart-2.tgz"
    assert not (tmp_path / "victim").exists()


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(FileRefused, match=r"No space left on device.*AP_MCP_FILES_DIR"):
        save_result(tmp_path, "chart.tgz", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_clear_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileRefused, match="could not be saved in"):
        save_result(tmp_path / "file" / "sub", "chart.tgz", b"x")


@pytest.mark.parametrize("fails", [False, True])
def test_file_systems_without_hard_links_work_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def no_rename(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "link", no_links)
    if fails:
        monkeypatch.setattr(Path, "replace", no_rename)
        with pytest.raises(FileRefused, match="Input/output error"):
            save_result(tmp_path, "chart.tgz", b"x")
        assert list(tmp_path.iterdir()) == []
        return
    first, second = (save_result(tmp_path, "chart.tgz", b"x").path for _ in range(2))
    assert [first.name, second.name] == ["chart.tgz", "chart-2.tgz"]
    assert first.read_bytes() == b"x"
    assert mode_of(first) == 0o600
    assert len(list(tmp_path.iterdir())) == 2


def test_any_other_trouble_with_the_name_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "link", broken)
    with pytest.raises(FileRefused, match="Input/output error"):
        save_result(tmp_path, "chart.tgz", b"x")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_all_taken_end_in_a_random_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TRIES", 2)
    names = [save_result(tmp_path, "chart.tgz", b"x").path.name for _ in range(2)]
    assert names[0] == "chart.tgz"
    assert len(names[1]) == len("chart-.tgz") + 16


def test_when_every_name_is_taken_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TRIES", 2)
    monkeypatch.setattr("ap_mcp.files.secrets.token_hex", lambda _: "00")
    for _ in range(2):
        save_result(tmp_path, "chart.tgz", b"x")
    with pytest.raises(FileRefused, match="every name is taken"):
        save_result(tmp_path, "chart.tgz", b"y")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chart-00.tgz", "chart.tgz"]


@pytest.mark.parametrize(
    ("suggested", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        (".bashrc", "bashrc"),
        ("a b\n\x00c/", "result"),
        ("chart 1:2.tgz", "chart-1-2.tgz"),
        ("Grüße.tgz", "Grue.tgz"),
        ("", "result"),
        ("..", "result"),
        ("CON.txt", "result-CON.txt"),
        ("x" * 300 + ".tar.gz", "x" * 93 + ".tar.gz"),
    ],
)
def test_a_suggested_name_becomes_one_plain_name(suggested: str, safe: str) -> None:
    assert safe_name(suggested) == safe


@given(st.text())
def test_no_suggested_name_leaves_the_folder(suggested: str) -> None:
    name = safe_name(suggested)
    assert name == Path(name).name
    assert name.isascii()
    assert 0 < len(name) <= files.NAME_LENGTH + len("result-")
    assert not name.startswith((".", "-"))


@pytest.mark.parametrize("path", ["chart.tgz", "./sub/../chart.tgz", "{root}/chart.tgz"])
def test_a_file_below_a_root_is_read(root: Path, path: str) -> None:
    (root / "sub").mkdir()
    upload = read_upload(path.format(root=root), [root.parent / "other", root], LIMIT)
    assert (upload.filename, upload.content) == ("chart.tgz", b"chart")


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "link.tgz").symlink_to("../chart.tgz")
    assert read_upload("sub/link.tgz", [root], LIMIT).content == b"chart"


def test_a_root_may_itself_be_reached_through_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert read_upload(str(tmp_path / "alias" / "chart.tgz"), [tmp_path / "alias"], LIMIT).content == b"chart"


@pytest.mark.parametrize(
    "path", ["../secret.txt", "{root}/../secret.txt", "/etc/passwd", "link", "linked/secret.txt", "{root}"]
)
def test_what_lies_outside_is_refused_also_through_links(root: Path, path: str) -> None:
    (root / "link").symlink_to(root.parent / "secret.txt")
    (root / "linked").symlink_to(root.parent)
    with pytest.raises(FileRefused, match="does not lie in a folder") as refusal:
        read_upload(path.format(root=root), [root], LIMIT)
    assert f"Files may be read below: {root} (AP_MCP_CHART_ROOTS)" in str(refusal.value)


def test_a_folder_with_the_same_beginning_is_another_folder(root: Path) -> None:
    (root.parent / "charts-private").mkdir()
    (root.parent / "charts-private" / "a.tgz").write_bytes(b"x")
    with pytest.raises(FileRefused, match="does not lie in a folder"):
        read_upload(str(root.parent / "charts-private" / "a.tgz"), [root], LIMIT)


def test_without_roots_every_upload_is_refused(root: Path) -> None:
    with pytest.raises(FileRefused, match="No folder is open for uploads"):
        read_upload(str(root / "chart.tgz"), [], LIMIT)


def test_missing_empty_and_oversized_files_have_errors_of_their_own(root: Path) -> None:
    (root / "empty.tgz").write_bytes(b"")
    (root / "large.tgz").write_bytes(b"x" * (LIMIT + 1))
    (root / "exact.tgz").write_bytes(b"x" * LIMIT)
    with pytest.raises(FileRefused, match="There is no file"):
        read_upload(str(root / "none.tgz"), [root], LIMIT)
    with pytest.raises(FileRefused, match="is empty"):
        read_upload("empty.tgz", [root], LIMIT)
    with pytest.raises(FileRefused, match="larger than 1024 bytes"):
        read_upload("large.tgz", [root], LIMIT)
    assert len(read_upload("exact.tgz", [root], LIMIT).content) == LIMIT


def test_the_limit_is_shown_in_units_people_read(root: Path) -> None:
    (root / "large.tgz").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(FileRefused, match="larger than 1 MiB"):
        read_upload("large.tgz", [root], 1024 * 1024)


def _make_folder(path: Path) -> None:
    path.mkdir()


def _make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [_make_folder, _make_fifo])
def test_folders_and_pipes_are_refused_without_waiting(root: Path, make: Callable[[Path], None]) -> None:
    make(root / "special")
    with pytest.raises(FileRefused, match="is no plain file"):
        read_upload("special", [root], LIMIT)


@pytest.mark.parametrize("path", ["a\x00b", "~absent-user/x", "x" * 5000, "chart.tgz/inside"])
def test_unusual_paths_are_refused_and_never_crash(root: Path, path: str) -> None:
    with pytest.raises(FileRefused):
        read_upload(path, [root], LIMIT)
    with pytest.raises(FileRefused):
        read_upload(str(root / path), [root], LIMIT)


def test_a_file_that_may_not_be_read_is_a_clear_refusal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(FileRefused, match="cannot be read: Permission denied"):
        read_upload("chart.tgz", [root], LIMIT)


@pytest.mark.parametrize("swapped", ["folder", "file"])
def test_a_link_swapped_in_after_the_check_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "secret.txt").write_bytes(b"inside")
    opened = files._opened

    def swap_then_open(where: Path, parts: tuple[str, ...]) -> int:
        (root / "sub" / "secret.txt").unlink()
        if swapped == "file":
            (root / "sub" / "secret.txt").symlink_to(root.parent / "secret.txt")
        else:
            (root / "sub").rmdir()
            (root / "sub").symlink_to(root.parent)
        return opened(where, parts)

    monkeypatch.setattr(files, "_opened", swap_then_open)
    with pytest.raises(FileRefused, match="cannot be read"):
        read_upload("sub/secret.txt", [root], LIMIT)


def test_where_folders_cannot_be_opened_stepwise_the_path_is_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    assert read_upload("chart.tgz", [root], LIMIT).content == b"chart"


def test_a_file_that_turns_into_something_else_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opens_a_pipe(_: Path, __: tuple[str, ...]) -> int:
        reader, writer = os.pipe()
        os.close(writer)
        return reader

    monkeypatch.setattr(files, "_opened", opens_a_pipe)
    with pytest.raises(FileRefused, match="is no plain file"):
        read_upload("chart.tgz", [root], LIMIT)
