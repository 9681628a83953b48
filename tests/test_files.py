"""A file is written whole or not at all, whatever goes wrong."""

import os
from pathlib import Path

import pytest

from optsuite.files import write_atomically


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("content", ["ünïcode\n", b"\x00\xff", memoryview(b"view")])
def test_content_is_written_and_nothing_else_is_left(
    tmp_path: Path, content: str | bytes | memoryview, durable: bool
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_atomically(path, content, durable=durable)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert list(tmp_path.iterdir()) == [path]


def test_file_keeps_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", "")
    (tmp_path / "usual").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("old", "new", False)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_error_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new", durable=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_durable_content_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: done.append(f"fsync {os.fstat(file).st_size}"))
    monkeypatch.setattr(os, "replace", lambda old, new: done.append("replace"))
    write_atomically(tmp_path / "file", "four", durable=True)
    assert done == ["fsync 4", "replace"]


def test_existing_file_is_kept_without_replace(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "first", replace=False)
    with pytest.raises(FileExistsError):
        write_atomically(path, "second", replace=False)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
