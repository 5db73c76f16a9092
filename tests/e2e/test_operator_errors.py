"""What goes wrong for operators ends in one clear line and status 2, or in a state that says what to do; nothing is lost."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from threadline_cli.testing.standalone import FIRST_KEY, MailAccount, Standalone, accounts_file, threadline
from threadline_runtime.testing.mail_world import ANN, SUPPORT, MailWorld
from threadline_runtime.testing.ports import LOOPBACK, free_port
from threadline_runtime.testing.requirements import require

pytestmark = [pytest.mark.e2e, pytest.mark.integration]
ACCOUNT = MailAccount("acme-support", "acme", SUPPORT)
NO_ACCOUNTS = "brands:\n  acme: {name: Acme}\naccounts: []\n"


def letter(text: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"], made["Message-ID"] = ANN, SUPPORT, "Hello", f"<{text.replace(' ', '-')}@client.test>"
    made.set_content(text)
    return made


def one_line_and_status_2(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 2, ended.stderr + ended.stdout
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return lines[0]


def up(data: Path, configuration: Path, **ports: int) -> subprocess.CompletedProcess[str]:
    port, ops_port = ports.get("port", free_port()), ports.get("ops_port", free_port())
    named = ["--port", str(port), "--ops-port", str(ops_port)]
    return threadline("up", "--data", str(data), "--config", str(configuration), *named)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Standalone]:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(NO_ACCOUNTS)
    with Standalone(tmp_path / "data", configuration) as running:
        yield running


def test_an_unknown_key_is_named_with_file_line_and_the_nearest_right_one(tmp_path: Path) -> None:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(
        "brands:\n  acme: {name: Acme}\naccounts:\n  - id: support\n    channel: email\n    brand: acme\n    adress: support@acme.test\n"
    )
    line = one_line_and_status_2(up(tmp_path / "data", configuration))
    assert f"{configuration}" in line
    assert "7" in line
    assert "adress" in line
    assert "address" in line.replace("adress", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("brands: [\n", "line"),
        ("accounts:\n  - {id: a, channel: email, brand: none, address: a@b.test}\n", "none"),
        ("brands:\n  acme: {name: Acme}\naccounts:\n  - {id: a, channel: emial, brand: acme}\n", "email"),
    ],
)
def test_a_bad_configuration_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(text)
    line = one_line_and_status_2(up(tmp_path / "data", configuration))
    assert said in line
    assert "threadline.yaml" in line


def test_a_missing_configuration_file_is_one_line(tmp_path: Path) -> None:
    assert "nowhere.yaml" in one_line_and_status_2(up(tmp_path / "data", tmp_path / "nowhere.yaml"))


def test_a_second_instance_on_the_same_data_is_refused(empty: Standalone) -> None:
    line = one_line_and_status_2(up(empty.data, empty.configuration))
    assert str(empty.data) in line
    assert str(empty.pid) in line
    assert empty.api.get("/v1/conversations").status_code == 200


def test_a_taken_port_is_named(empty: Standalone, tmp_path: Path) -> None:
    line = one_line_and_status_2(up(tmp_path / "other", empty.configuration, port=empty.port))
    assert str(empty.port) in line
    assert "--port" in line
    line = one_line_and_status_2(up(tmp_path / "other", empty.configuration, ops_port=empty.ops_port))
    assert str(empty.ops_port) in line
    assert "--ops-port" in line


def test_an_unwritable_data_folder_is_one_line(tmp_path: Path) -> None:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(NO_ACCOUNTS)
    (tmp_path / "file").write_text("")
    assert "file" in one_line_and_status_2(up(tmp_path / "file" / "data", configuration))


def test_sigterm_ends_with_status_0(empty: Standalone) -> None:
    """P9: drained, not cut."""
    assert empty.stop() == 0
    assert "Traceback" not in empty.said()


def test_the_first_key_is_shown_at_the_first_start_only(tmp_path: Path) -> None:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(NO_ACCOUNTS)
    with Standalone(tmp_path / "data", configuration) as running:
        assert running.stop() == 0
        assert f"/#key={FIRST_KEY}" in running.said()
        shown = running.said().count("tl_")
        running.start()
        assert running.stop() == 0
        assert running.said().count("tl_") == shown


def test_a_file_without_accounts_is_said(tmp_path: Path) -> None:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text("")
    checked = threadline("check", "--data", str(tmp_path / "data"), "--config", str(configuration))
    assert checked.returncode == 0
    assert "names no accounts" in checked.stderr


def test_check_tells_damaged_signing_keys_and_a_folder_for_blobs_that_cannot_be_made(tmp_path: Path) -> None:
    """What `up` would refuse, `check` names in its row instead of ending."""
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(NO_ACCOUNTS)
    data = tmp_path / "data"
    data.mkdir()
    (data / "signing.keys").write_text("no hex")
    (data / "blobs").write_text("a file")
    checked = threadline("check", "--data", str(data), "--config", str(configuration), "--json")
    assert checked.returncode == 1
    found = {each["check"]: each["problem"] for each in map(json.loads, checked.stdout.splitlines())}
    assert "key in hex" in found["signing keys"]
    assert "cannot write blobs" in found["blobs"]
    assert found["bus"] is None


def test_a_wrong_password_is_a_state_and_mail_comes_when_it_is_right(tmp_path: Path, mail_world: MailWorld) -> None:
    configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, [ACCOUNT])
    secret = tmp_path / "acme-support.password"
    secret.write_text("wrong\n")
    with Standalone(tmp_path / "data", configuration) as running:
        running.until("the state in /readyz", lambda: "password" in running.readiness().text)
        assert "acme-support" in running.readiness().text
        check = threadline("check", "--config", str(configuration), "--json", "--data", str(tmp_path / "data"))
        assert check.returncode == 1
        assert "acme-support" in check.stdout
        mail_world.send(letter("wait for me"), ANN, [SUPPORT])
        assert running.stop() == 0
        secret.write_text(mail_world.dovecot.users[SUPPORT] + "\n")
        running.start()
        running.conversation_with("wait for me")


def test_an_unreachable_server_is_a_state_and_mail_comes_when_it_is_back(tmp_path: Path, mail_world: MailWorld) -> None:
    """P8: a broken dependency pauses intake, it skips nothing."""
    configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, [ACCOUNT])
    mail_world.send(letter("before it went"), ANN, [SUPPORT])
    mail_world.wait_for(SUPPORT)
    mail_world.dovecot.stop()
    with Standalone(tmp_path / "data", configuration) as running:
        running.until("the state in /readyz", lambda: "acme-support" in running.readiness().text)
        check = threadline("check", "--config", str(configuration), "--json", "--data", str(tmp_path / "data"))
        assert check.returncode == 1
        assert "acme-support" in check.stdout
        mail_world.dovecot.start()
        running.conversation_with("before it went", within=60)
        running.until("readiness", lambda: running.readiness().status_code == 200, within=60)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB that is really full when it is full."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    require(mounted, "a tmpfs cannot be mounted here: root and CAP_SYS_ADMIN are needed")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Take all the room there is, but for `leave` bytes; remove the file to give it back."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while shutil.disk_usage(disk).free > leave:
            file.write(b"\0" * 4096)
            file.flush()
    return ballast


def test_a_disk_that_is_full_at_the_start_is_one_line(small_disk: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(NO_ACCOUNTS)
    fill(small_disk, leave=128 * 1024)
    assert "disk full" in one_line_and_status_2(up(small_disk / "data", configuration))


def test_a_full_disk_pauses_and_goes_on_when_there_is_room(small_disk: Path, tmp_path: Path, mail_world: MailWorld) -> None:
    """P1, P8: what could not be stored was not acknowledged and comes again."""
    configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, [ACCOUNT])
    with Standalone(small_disk / "data", configuration) as running:
        running.log = tmp_path / "up.log"
        mail_world.send(letter("while there is room"), ANN, [SUPPORT])
        conversation = running.conversation_with("while there is room")
        ballast = fill(small_disk)
        mail_world.send(letter("onto a full disk"), ANN, [SUPPORT])
        running.until("the full disk in /readyz", lambda: "full" in running.readiness().text.lower(), within=30)
        ballast.unlink()
        running.entry_with(conversation.conversation_id, "onto a full disk", within=60)
        assert running.stop() == 0


def test_check_says_that_everything_is_well(tmp_path: Path, mail_world: MailWorld) -> None:
    configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, [ACCOUNT])
    check = threadline("check", "--config", str(configuration), "--data", str(tmp_path / "data"))
    assert check.returncode == 0, check.stdout + check.stderr
    for part in ("bus", "database", "blobs", "acme-support"):
        assert part in check.stdout


def test_check_beside_a_server_that_refuses_says_what_to_do(tmp_path: Path, mail_world: MailWorld) -> None:
    gone = {"host": LOOPBACK, "tls": "none", "port": free_port(), "username": SUPPORT, "password": "env:NO_SUCH_VARIABLE"}
    configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, [MailAccount("acme-support", "acme", SUPPORT, smtp=gone)])
    line = one_line_and_status_2(threadline("check", "--config", str(configuration), "--data", str(tmp_path / "data")))
    assert "NO_SUCH_VARIABLE" in line
