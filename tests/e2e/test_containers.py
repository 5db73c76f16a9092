"""Every service as a container (read-only, not root) on Kafka and MongoDB: a mail in, a reply out, each container killed under load.

The images are those that `make images` built; `make test-containers` builds and tests. Not here: `docker-compose.yml` and
`deploy/k8s`, whose own images and clusters cannot be had everywhere.
"""

import email
import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from threadline_cli.testing.alone import Site
from threadline_cli.testing.letters import mail, received
from threadline_cli.testing.own_process import FIRST_KEY, OwnProcess
from threadline_cli.testing.served_api import ServedApi
from threadline_cli.testing.standalone import MailAccount, accounts_file
from threadline_events.timeline import Entry
from threadline_runtime.testing.kafka import running_kafka
from threadline_runtime.testing.mail_world import ANN, SUPPORT, MailWorld
from threadline_runtime.testing.mongodb import database_url, running_mongodb
from threadline_runtime.testing.ports import free_port

# Images are built, or looked for, by a verb of their own: `make test` and `make faults` leave this module out.
pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]
BLOBS = "/var/lib/threadline/blobs"
USER = 10001
# As Kubernetes runs them: nothing can be written but /tmp and the blobs, no capability, no way to get one.
CONFINED = ["--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
LIMITS = ["--ulimit", "nproc=1000:1000", "--ulimit", "nofile=1024:1024"]
CONFINEMENT = """
import os, json
def refused(path):
    try:
        open(path, "w")
    except OSError as error:
        return error.strerror
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({
    "user": os.getuid(), "group": os.getgid(), "capabilities": status["CapEff"].strip(), "no_new_privileges": status["NoNewPrivs"].strip(),
    "refused": {path: refused(path) for path in ("/here", "/etc/here", "/opt/threadline/here", "/var/lib/threadline/here", "/run/here")},
    "written": [path for path in ("/tmp/here", "/var/lib/threadline/blobs/here") if refused(path) is None],
}))
os.unlink("/var/lib/threadline/blobs/here")
"""
# What a dead process held in a database that others use is free once nobody has seen it move for 20 s.
UNTIL_LEASES_ARE_FREE = 90.0


def podman(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False, timeout=120)


def image(name: str) -> str:
    return f"localhost/threadline/{name}:dev"


class Place:
    """One installation: what each of its containers sees. The folder lies at the same path inside, and cannot be written there."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        self.blobs = site.folder / "blobs"
        self.blobs.mkdir()
        shutil.chown(self.blobs, USER, USER)

    def run(self, service: str, name: str, env: Mapping[str, str], *arguments: str) -> list[str]:
        """The command that runs a container in the foreground."""
        settings = {**self.site.env(), "THREADLINE_BLOBS__URL": f"file://{BLOBS}", "THREADLINE_API__FIRST_KEY": FIRST_KEY, **env}
        given = [part for each in settings.items() for part in ("--env", "=".join(each))]
        seen = ["--volume", f"{self.site.folder}:{self.site.folder}:ro", "--volume", f"{self.blobs}:{BLOBS}"]
        return ["podman", "run", "--rm", "--name", name, "--network", "host", *CONFINED, *LIMITS, *given, *seen, image(service), *arguments]

    def command(self, service: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a container to its end."""
        program = self.run(service, f"{self.name}-{service}-{time.monotonic_ns()}", {}, *arguments)
        return subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)


class InContainer(OwnProcess):
    """A service in a container. Killing it kills the container, as a node that is out of memory does."""

    place: Place
    service: str

    @property
    def name(self) -> str:
        return f"{self.place.name}-{self.service}"

    def command(self) -> Sequence[str]:
        mine = {name: value for name, value in self.env.items() if "__PORT" in name}
        return self.place.run(self.service, self.name, mine)

    def kill(self) -> None:
        if self._process is None:
            return
        podman("kill", "--signal", "KILL", self.name)
        with suppress(subprocess.TimeoutExpired):
            self.wait(30)
        # Nothing is there any more, unless the kill came before the container was up.
        podman("rm", "--force", "--ignore", self.name)
        super().kill()

    def confinement(self) -> dict[str, object]:
        said = podman("exec", self.name, "python", "-c", CONFINEMENT)
        assert said.returncode == 0, said.stderr
        found: dict[str, object] = json.loads(said.stdout)
        return found


class ServiceContainer(InContainer):
    def __init__(self, place: Place, service: str) -> None:
        self.place, self.service = place, service
        super().__init__(place.site.folder / f"{service}.log", free_port(), {})
        self.env["THREADLINE_OPS__PORT"] = str(self.ops_port)


class RouterContainer(InContainer, ServedApi):
    def __init__(self, place: Place) -> None:
        self.place, self.service = place, "router"
        ServedApi.__init__(self, place.site.folder / "router.log", {})
        self.env |= {"THREADLINE_OPS__PORT": str(self.ops_port), "THREADLINE_HTTP__PORT": str(self.port)}


class Containers:
    """One of each service."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.router = RouterContainer(place)
        self.ingest = ServiceContainer(place, "ingest-email")
        self.notifier = ServiceContainer(place, "notifier")

    @property
    def all(self) -> Sequence[InContainer]:
        return (self.router, self.ingest, self.notifier)


@pytest.fixture(scope="module")
def images() -> None:
    """`make test-containers` builds them; a test of images that are not there would test nothing."""
    if not shutil.which("podman"):
        pytest.skip("podman is missing: apt-get install podman buildah runc")
    for name in ("router", "ingest-email", "notifier", "threadline"):
        if podman("image", "exists", image(name)).returncode:
            pytest.skip(f"the image {image(name)} is missing: make test-containers")


@pytest.fixture
def containers(images: None, tmp_path: Path, mail_world: MailWorld) -> Iterator[Containers]:
    tmp_path.chmod(0o755)
    with ExitStack() as stack:
        kafka, mongodb = stack.enter_context(running_kafka()), stack.enter_context(running_mongodb())
        configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, [MailAccount("acme-support", "acme", SUPPORT)])
        authority = shutil.copy(mail_world.dovecot.certificates.authority, tmp_path / "authority.pem")
        configuration.write_text(configuration.read_text().replace(str(mail_world.dovecot.certificates.authority), str(authority)))
        site = Site(tmp_path, configuration, kafka.url, database_url(mongodb.url, "threadline"))
        site.env()
        for file in tmp_path.iterdir():
            file.chmod(0o644)
        made = Containers(Place(site, f"threadline-test-{tmp_path.name.replace('_', '-')}-{free_port()}"))
        migrated = made.place.command("router", "migrate")
        assert (migrated.returncode, migrated.stderr) == (0, "")
        for container in made.all:
            stack.callback(container.kill)
        for container in made.all:
            container.start(wait=False)
        for container in made.all:
            container.wait_until_up()
        yield made


class Load:
    """Mails, five a second, sent beside the test until it has seen enough."""

    def __init__(self, world: MailWorld) -> None:
        self.count = 0
        self._world = world
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(60)

    def _send(self) -> None:
        while not self._enough.wait(0.2):
            self._world.send(mail(ANN, SUPPORT, f"mail {self.count:03d}.", subject=f"order {self.count}"), ANN, [SUPPORT])
            self.count += 1


def audited(containers: Containers) -> dict[str, object]:
    """What the command's own container says of the one account."""
    said = containers.place.command("threadline", "audit", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    books: dict[str, object] = json.loads(said.stdout)
    return books


def test_a_mail_in_and_a_reply_out_of_containers_that_can_write_nothing(containers: Containers, mail_world: MailWorld) -> None:
    """P1, P4, design section 12: the whole way, as nobody, on a file system that cannot be written."""
    asked = mail(f"Ann Lee <{ANN}>", SUPPORT, "My parcel is late.")
    mail_world.send(asked, ANN, [SUPPORT])
    conversation = containers.router.conversation_with("My parcel is late.", within=60)
    containers.router.reply(conversation.conversation_id, "It is on its way.", key="k-1")
    answer = received(mail_world, ANN)
    assert answer["In-Reply-To"] == asked["Message-ID"]
    for container in containers.all:
        found = container.confinement()
        refused = found.pop("refused")
        assert found == {
            "user": USER,
            "group": USER,
            "capabilities": "0000000000000000",
            "no_new_privileges": "1",
            "written": ["/tmp/here", f"{BLOBS}/here"],
        }
        assert isinstance(refused, dict)
        assert set(refused.values()) == {"Read-only file system"}
    containers.router.until("the tick", lambda: any(e.state == "sent" for e in containers.router.timeline(conversation.conversation_id)))
    checked = containers.place.command("threadline", "check", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (audited(containers)["missing"], audited(containers)["outcomes"]) == (0, {"stored": 1})
    # SIGTERM reaches the first process of a container, which drains.
    assert [container.stop() for container in containers.all] == [0, 0, 0]


def test_each_container_is_killed_under_load_and_nothing_is_lost(containers: Containers, mail_world: MailWorld) -> None:
    """P1 to P4: `podman kill` of each in turn while mails come in and replies go out; started again, nothing is missing or doubled."""
    accepted: list[Entry] = []

    def answer(times: int) -> None:
        for _ in range(times):
            number = len(accepted)
            accepted.append(containers.router.reply(conversation.conversation_id, f"reply {number:02d}.", key=f"k-{number}"))

    with Load(mail_world) as load:
        conversation = containers.router.conversation_with("mail 000.", within=60)
        for killed in containers.all:
            answer(3)
            killed.kill()
            taken_before = load.count
            if killed is not containers.router:
                answer(3)
            killed.start()
            containers.router.until("mails during the outage and after it", lambda before=taken_before: load.count > before + 5)
    mails, replies = load.count, len(accepted)

    def texts() -> list[str]:
        return sorted((entry.text or "").strip() for entry in containers.router.timeline(conversation.conversation_id))

    wanted = sorted([f"mail {number:03d}." for number in range(mails)] + [f"reply {number:02d}." for number in range(replies)])
    containers.router.until("every entry", lambda: len(texts()) >= len(wanted), within=UNTIL_LEASES_ARE_FREE)
    assert texts() == wanted
    containers.router.until("every reply", lambda: len(mail_world.dovecot.flags(ANN)) >= replies, within=UNTIL_LEASES_ARE_FREE)
    sent = Counter(email.message_from_bytes(raw)["Message-ID"] for raw in mail_world.dovecot.messages(ANN))
    assert len(sent) == replies
    deliveries = [containers.router.api.get(f"/v1/messages/{each.message_id}/deliveries").json()["items"] for each in accepted]
    assert sent.total() <= sum(max(one["number"] for one in attempt["tries"]) for attempts in deliveries for attempt in attempts)
    books = audited(containers)
    assert (books["missing"], books["unjournalled"], books["outcomes"]) == (0, 0, {"stored": mails})
    print(
        f"\ncontainers: {mails} mails, {replies} replies, 3 containers killed: {len(texts())} entries, sent {sent.total()}, audit {books}"
    )
