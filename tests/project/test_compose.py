"""docs/compose.yaml: valid, closed to other machines, and its commands work without containers."""

import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.servers import Server, free_port, lacks_postgres, postgres

from optsuite.errors import InputError
from optsuite.tracking.store import open_store

FILE = Path(__file__).parents[2] / "docs" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SECRETS = {
    "POSTGRES_PASSWORD": "0a1b2c",
    "MLFLOW_ADMIN_PASSWORD": "a long enough password",
    "MLFLOW_SECRET_KEY": "3d4e5f",
}


def test_compose_file_is_valid() -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema")
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(FILE),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compose_images_are_pinned_checked_and_closed_to_other_machines() -> None:
    for name, service in COMPOSE["services"].items():
        assert re.search(r":\d+\.\d+", service["image"]), name
        assert service["healthcheck"]["test"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    built = COMPOSE["services"]["mlflow"]["build"]["dockerfile_inline"]
    assert re.search(r"^FROM python:\d+\.\d+\.\d+", built)
    assert len(re.findall(r'"\S+==[\d.]+"', built)) == built.count('"') // 2


def test_compose_file_has_no_password_and_secrets_file_has_all() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    assert wanted == set(SECRETS)
    document = FILE.with_name("server.md").read_text()
    assert set(re.findall(r"^ +echo \"(\w+)=", document, flags=re.MULTILINE)) == wanted
    done = subprocess.run(["git", "check-ignore", "--quiet", "docs/.env"], cwd=FILE.parents[1])
    assert done.returncode in (0, 128)  # 128: not a repository


def filled(text: str, places: dict[str, str]) -> str:
    """A text as Compose expands it, with paths of this machine instead of those in containers."""
    text = re.sub(r"\$\{(\w+)[^}]*\}", lambda match: SECRETS[match[1]], text)
    for inside, here in places.items():
        text = text.replace(inside, here)
    return text


@pytest.mark.skipif(bool(lacks_postgres()), reason=lacks_postgres())
def test_compose_commands_start_server_that_requires_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flask_wtf", reason="needs Flask-WTF, the extra 'auth' of mlflow")
    service = COMPOSE["services"]["mlflow"]
    with postgres() as databases:
        databases.create("mlflow")
        databases.execute("CREATE ROLE mlflow SUPERUSER LOGIN PASSWORD '0a1b2c'")
        port = free_port()
        at = re.search(r"127\.0\.0\.1:\d+", databases.address("mlflow"))
        assert at is not None
        places = {
            "@postgres/": f"@{at[0]}/",
            "/artifacts": str(tmp_path / "files"),
            "/run/auth.ini": str(tmp_path / "auth.ini"),
        }
        places |= {"0.0.0.0": "127.0.0.1", "5000": str(port)}
        (tmp_path / "auth.ini").write_text(filled(COMPOSE["configs"]["auth"]["content"], places))
        config = configparser.ConfigParser()
        config.read(tmp_path / "auth.ini")
        environment = {
            name: filled(value, places) for name, value in service["environment"].items()
        }
        program, *arguments = shlex.split(filled(service["command"], places))
        assert program == "mlflow"
        server = Server(tmp_path, port, arguments, environment)
        server.start()
        try:
            subprocess.run(
                [
                    sys.executable,
                    *service["healthcheck"]["test"][2:-1],
                    filled(service["healthcheck"]["test"][-1], places),
                ],
                check=True,
                env=os.environ,
            )
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
            with pytest.raises(InputError, match="requires a user name and a password"):
                open_store(server.address)
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", config["mlflow"]["admin_username"])
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS["MLFLOW_ADMIN_PASSWORD"])
            store = open_store(server.address)
            (tmp_path / "index.html").write_text("a report")
            store.attach_report("c", tmp_path, [tmp_path / "index.html"])
            assert [path.read_text() for path in (tmp_path / "files").rglob("index.html")] == [
                "a report"
            ]
        finally:
            server.stop()
