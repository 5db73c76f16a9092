"""P1, P8: a server that answers less than it holds, or answers twice, costs no mail, doubles none, and never stops the folder for good."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ingest_email.imap.fetching import _PATIENCE
from ingest_email.imap.folder_poller import FolderPoller
from ingest_email.imap.mail import MailboxMail
from ingest_email.imap.positions import Position
from ingest_email.imap.spool import Spool
from ingest_email.settings import ImapSettings
from threadline_connectors.errors import RetryableError
from threadline_connectors.pollers import Batch, Fetched
from threadline_runtime.errors import ConfigurationError

pytestmark = pytest.mark.integration
LARGE = b"From: ann@client.test\r\n\r\n" + b"0123456789abcdef" * 400_000
_PIECE = re.compile(r"BODY\.PEEK\[\]<(\d+)\.(\d+)>")


@dataclass
class LyingServer:
    """Holds mails by UID. `unlisted` and `withheld` name UIDs that it leaves out of sizes and bodies, `longest` bounds a piece."""

    mails: dict[int, bytes]
    unlisted: set[int] = field(default_factory=set)
    withheld: set[int] = field(default_factory=set)
    longest: int = 1 << 30
    capabilities: str = "IMAP4rev1 UIDPLUS"
    date: str = "22-Nov-2026 10:00:00 +0000"
    chatty: bool = False
    before_piece: Callable[[int], bool] = lambda _: True
    seen: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(b"* OK hello\r\n")
        while line := (await reader.readline()).decode():
            tag, _, command = line.strip().partition(" ")
            self.seen.append(command)
            answer = self._answer(command.replace("UID ", "", 1))
            if answer is None:
                break
            writer.write(answer + f"{tag} OK done\r\n".encode())
        writer.close()

    def _answer(self, command: str) -> bytes | None:
        name, _, rest = command.partition(" ")
        if name == "CAPABILITY":
            return f"* CAPABILITY {self.capabilities}\r\n".encode()
        if name in {"EXAMINE", "SELECT"}:
            following = max(self.mails, default=0) + 1
            return f"* {len(self.mails)} EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT {following}] ok\r\n".encode()
        if name == "SEARCH":
            return f"* SEARCH {' '.join(str(uid) for uid in self.mails)}\r\n".encode()
        return self._fetched(rest) if name == "FETCH" else b""

    def _fetched(self, rest: str) -> bytes | None:
        uids = [int(uid) for uid in rest.partition(" ")[0].split(",") if int(uid) in self.mails]
        if "RFC822.SIZE" in rest:
            noise = "".join(f"* 1 FETCH (UID {uid} FLAGS (\\Seen))\r\n" for uid in uids) if self.chatty else ""
            told = [
                f'* 1 FETCH (UID {uid} RFC822.SIZE {len(self.mails[uid])} INTERNALDATE "{self.date}")\r\n'
                for uid in uids
                if uid not in self.unlisted
            ]
            return ("".join(told) + noise).encode()
        piece = _PIECE.search(rest)
        start, length = (int(piece[1]), int(piece[2])) if piece else (0, 1 << 30)
        if piece and not self.before_piece(start):
            return None
        bodies = {uid: self.mails[uid][start : start + min(length, self.longest)] for uid in uids if uid in self.mails}
        return b"".join(
            f"* 1 FETCH (UID {uid} BODY[] {{{len(body)}}}\r\n".encode() + body + b")\r\n"
            for uid, body in bodies.items()
            if uid not in self.withheld
        )


@asynccontextmanager
async def poller(server: LyingServer, folder: Path, **settings: Any) -> AsyncIterator[FolderPoller]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    login = {"host": "127.0.0.1", "port": listener.sockets[0].getsockname()[1], "tls": "none", "username": "u", "password": "p"}
    spool = Spool(folder / "mails")
    spool.prepare()
    made = FolderPoller(
        ImapSettings.model_validate({**login, "start_at": "all", **settings}), "INBOX", spool=spool, now=lambda: datetime.now(UTC)
    )
    try:
        yield made
    finally:
        await made.close()
        for writer in server.writers:
            writer.close()
        listener.close()


async def taken(made: FolderPoller, position: str | None = None) -> tuple[dict[int, bytes], str]:
    """What one round takes in until it has caught up, and where it stands then."""
    found: dict[int, bytes] = {}
    async for batch in made.follow(position or await made.start()):
        for one in batch.payloads:
            uid = int(one.place[2])
            assert uid not in found, "taken twice"
            found[uid] = one.raw if isinstance(one.raw, bytes) else await asyncio.to_thread(one.raw.read_bytes)
        position = batch.position
        if batch.caught_up:
            break
    return found, position or ""


async def test_short_pieces_are_put_together(tmp_path):
    """A piece shorter than asked for is not the mail's end."""
    async with poller(LyingServer({1: LARGE}, longest=700_000), tmp_path) as made:
        assert (await taken(made))[0] == {1: LARGE}


async def test_half_a_mail_is_never_taken_for_the_whole(tmp_path):
    """A large mail that is deleted between two pieces is gone, and leaves no file."""
    server = LyingServer({1: LARGE, 2: b"From: bob@client.test\r\n\r\nhi"})

    def delete(start: int) -> bool:
        if start:
            server.mails.pop(1, None)
        return True

    server.before_piece = delete
    async with poller(server, tmp_path) as made:
        assert list((await taken(made))[0]) == [2]
    assert list((tmp_path / "mails").iterdir()) == []


async def test_a_cut_large_mail_leaves_no_file(tmp_path):
    """A flaky line must not fill the disk, a piece of a mail at each try."""
    async with poller(LyingServer({1: LARGE}, before_piece=lambda start: start == 0), tmp_path) as made:
        with pytest.raises(RetryableError):
            await taken(made)
    assert list((tmp_path / "mails").iterdir()) == []


@pytest.mark.parametrize("what", ["unlisted", "withheld"])
async def test_a_mail_that_is_not_handed_over_is_asked_for_again(tmp_path, what):
    """What is still in the folder was not deleted: the round ends, and the next one has it."""
    server = LyingServer({1: b"From: a@client.test\r\n\r\none", 2: b"From: b@client.test\r\n\r\ntwo"})
    getattr(server, what).add(1)
    async with poller(server, tmp_path) as made:
        with pytest.raises(RetryableError, match="UID 1"):
            await taken(made)
        await made.close()
        getattr(server, what).clear()
        assert sorted((await taken(made))[0]) == [1, 2]


@pytest.mark.parametrize("mail", [b"From: a@client.test\r\n\r\none", LARGE])
async def test_a_mail_that_is_never_handed_over_does_not_stop_the_folder(tmp_path, mail):
    """After some rounds it is taken without its bytes, which the parser rejects on record; the others go on."""
    server = LyingServer({1: mail, 2: b"From: b@client.test\r\n\r\ntwo"}, withheld={1})
    async with poller(server, tmp_path) as made:
        for _ in range(_PATIENCE):
            with pytest.raises(RetryableError):
                await taken(made)
            await made.close()
        assert (await taken(made))[0] == {1: b"", 2: server.mails[2]}
    assert list((tmp_path / "mails").iterdir()) == []


async def test_what_was_never_handed_over_is_not_marked(tmp_path):
    """A person who looks into the mailbox must find it there, unread."""
    server = LyingServer({1: b"From: a@client.test\r\n\r\none", 2: b"From: b@client.test\r\n\r\ntwo"})
    async with poller(server, tmp_path, mark="seen") as made:
        batch = Batch(
            tuple(Fetched(("INBOX", 7, uid), None, raw, len(raw), "message/rfc822") for uid, raw in ((1, b""), (2, b"two"))), position=""
        )
        await made.published(batch)
    assert [command for command in server.seen if "STORE" in command] == ["UID STORE 2 +FLAGS.SILENT (\\Seen)"]


async def test_flags_told_beside_sizes_double_no_mail(tmp_path):
    """Another session's change of flags comes with a UID where the server likes; it is not a second mail."""
    server = LyingServer({1: b"From: a@client.test\r\n\r\none"}, chatty=True)
    async with poller(server, tmp_path) as made:
        assert (await taken(made))[0] == {1: server.mails[1]}


async def test_marking_comes_back_after_its_connection_was_closed(tmp_path):
    """Servers close a connection that rests between two mails; the next mail is marked all the same."""
    server = LyingServer({1: b"From: a@client.test\r\n\r\none"})
    async with poller(server, tmp_path, mark="seen") as made:
        async for batch in made.follow(await made.start()):
            await made.published(batch)
            server.writers[-1].close()
            await asyncio.sleep(0.05)
            await made.published(batch)
            break
    assert len([command for command in server.seen if "STORE" in command]) == 2


@pytest.mark.parametrize("start_at", ["now", "all"])
async def test_a_date_from_the_future_hides_no_mail_later(tmp_path, start_at):
    """Who appends a mail chooses its INTERNALDATE; after a change of UIDVALIDITY a rescan must not begin in the year 2038."""
    server = LyingServer({1: b"From: a@client.test\r\n\r\none"}, date="19-Jan-2038 03:14:07 +0000")
    async with poller(server, tmp_path, start_at=start_at) as made:
        at = Position.load((await taken(made))[1])
    assert at.newest is not None
    assert at.newest <= datetime.now(UTC)
    assert at.floor is None or at.floor <= datetime.now(UTC)


async def test_a_folder_put_back_from_a_backup_is_gone_through_again(tmp_path):
    """P1: UIDs start again below the position under the same UIDVALIDITY; what comes is neither skipped nor taken for an old mail."""
    server = LyingServer(dict.fromkeys((1, 2, 3), b"From: a@client.test\r\n\r\nold"))
    async with poller(server, tmp_path) as made:
        _, position = await taken(made)
        await made.close()
        server.mails = {1: server.mails[1], 2: b"From: b@client.test\r\n\r\nnew"}
        found, later = await taken(made, position)
        assert found == server.mails
        places = [one.place async for batch in _once(made, later, server) for one in batch.payloads]
    assert places == [("INBOX", 7, 3, 1)]


async def _once(made: FolderPoller, position: str, server: LyingServer) -> AsyncIterator[Batch[MailboxMail]]:
    """One more mail, and the batches until it is there."""
    await made.close()
    server.mails[3] = b"From: c@client.test\r\n\r\nnewer"
    async for batch in made.follow(position):
        yield batch
        if batch.caught_up:
            return


async def test_moving_where_the_server_cannot_is_told_before_anything_is_copied(tmp_path):
    """Without MOVE and UIDPLUS a move would leave a copy and delete what others marked."""
    server = LyingServer({1: b"From: a@client.test\r\n\r\none"}, capabilities="IMAP4rev1")
    async with poller(server, tmp_path, mark="move", move_to="Done") as made:
        async for batch in made.follow(await made.start()):
            with pytest.raises(ConfigurationError, match="instead of mark: move"):
                await made.published(batch)
            break
    assert not [command for command in server.seen if "COPY" in command or "STORE" in command]
