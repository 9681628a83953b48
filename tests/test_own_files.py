"""Files of others in report folders and outboxes are neither written, deleted nor followed."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.frames import seeds
from support.reports import made, whole
from support.stores import contents

from optsuite.errors import InputError
from optsuite.reporting.folder import MANIFEST, add_file
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.store import open_store


def page_of_a_person(folder: Path) -> None:
    (folder / "index.html").write_text("mine")


def figures_of_a_person(folder: Path) -> None:
    (folder / "figures").mkdir()
    (folder / "figures" / "photo.svg").write_text("mine")


def table_of_a_person(folder: Path) -> None:
    (folder / "leaderboard.csv").write_text("name,points\n")


def notes_of_a_person(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def manifest_of_another(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps({"name": "an app", "icons": []}))


def linked_file(folder: Path) -> None:
    (folder.parent / "elsewhere").write_text("mine")
    (folder / "index.html").symlink_to(folder.parent / "elsewhere")


def linked_figures(folder: Path) -> None:
    (folder.parent / "pictures").mkdir()
    (folder.parent / "pictures" / "b-scores.svg").write_text("mine")
    (folder / "figures").symlink_to(folder.parent / "pictures")


FOREIGN = (
    page_of_a_person,
    figures_of_a_person,
    table_of_a_person,
    notes_of_a_person,
    manifest_of_another,
    linked_file,
    linked_figures,
)


@pytest.mark.parametrize("make", FOREIGN)
def test_folder_of_the_user_is_left_unchanged(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (folder := tmp_path / "out").mkdir()
    make(folder)
    before = contents(tmp_path)
    with pytest.raises(
        InputError,
        match=r"report folder .* cannot be used, .* nothing is changed there; choose another --out",
    ) as error:
        made(folder, *seeds("a", [1.0, 2.0]))
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["index.html", "figures/b-scores.svg", MANIFEST])
def test_link_in_report_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    made(tmp_path / "out", *whole(["a"], ["b"], 1))
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "out" / name).unlink(missing_ok=True)
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    with suppress(InputError):
        made(tmp_path / "out", *whole(["a"], ["b"], 1))
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_only_our_own_figures_are_deleted(tmp_path: Path) -> None:
    made(tmp_path, *whole(["a"], ["b", "c"], 1))
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    edited = sorted((tmp_path / "figures").glob("c-*"))[0]
    edited.write_text("edited by hand")
    made(tmp_path, *whole(["a"], ["b"], 1))
    assert (tmp_path / "figures" / "mine.svg").exists()
    assert sorted((tmp_path / "figures").glob("c-*")) == [edited]
    add_file(tmp_path, "nights.html", "a night")
    made(tmp_path, *whole(["a"], ["b"]))
    assert (tmp_path / "nights.html").read_text() == "a night"
    listed = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert set(listed) == set(contents(tmp_path)) - {
        "figures/mine.svg",
        f"figures/{edited.name}",
        MANIFEST,
    }


def test_manifest_with_foreign_paths_deletes_nothing(tmp_path: Path) -> None:
    made(tmp_path / "out", *whole(["a"], ["b"], 1))
    (tmp_path / "mine.svg").write_text("mine")
    listed = json.loads((tmp_path / "out" / MANIFEST).read_text())
    listed["files"] |= {
        "figures/../../mine.svg": "",
        str(tmp_path / "mine.svg"): "",
        "../mine.svg": "",
    }
    (tmp_path / "out" / MANIFEST).write_text(json.dumps(listed))
    made(tmp_path / "out", *whole(["a"], ["b"], 1))
    assert (tmp_path / "mine.svg").exists()


def test_report_without_manifest_is_ours(tmp_path: Path) -> None:
    made(tmp_path, *whole(["a"], ["b", "c"], 1))
    (tmp_path / MANIFEST).unlink()
    for name in ("verdicts.json", "overall.csv"):  # which there were not
        (tmp_path / name).unlink()
    (tmp_path / "leaderboard.csv").write_text("benchmark,optimizer,arm,lr,score\n")
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    made(tmp_path, *whole(["a"], ["b"], 1))
    assert not list((tmp_path / "figures").glob("c-*"))
    assert (tmp_path / "figures" / "mine.svg").exists()


def test_link_in_the_outbox_is_neither_read_nor_written_through(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = folder / "mlruns" / "outbox" / "mlflow.db" / "c"
    own.mkdir(parents=True)
    (folder / "mine").write_text("{}")
    for name in ("a.json", "reserve", ".reserve.0.new"):
        (own / name).symlink_to(folder / "mine")
    os.mkfifo(own / "b.json")
    (own / "c.json").mkdir()
    with Outbox(tracking_uri(), "c") as outbox:
        assert outbox.deliver(open_store(tracking_uri())) == 0
    assert (folder / "mine").read_text() == "{}"
    for name in ("a.json", "b.json", "c.json"):
        reason = "ValueError: it is not a regular file"
        assert f"{own / name} cannot be delivered and is left there: {reason}" in caplog.text
