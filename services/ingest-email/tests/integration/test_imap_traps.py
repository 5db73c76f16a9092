"""What servers do wrong, played by a scripted server on loopback: every call answers or raises, and no mail is lost by it."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ingest_email.imap import connection as wire
from ingest_email.imap.connection import ImapConnection
from ingest_email.settings import ImapSettings
from threadline_connectors.errors import AuthError, RetryableError
from threadline_runtime.errors import ConfigurationError

pytestmark = pytest.mark.integration

Reply = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


class Script:
    """Answers commands by name; what has no answer of its own gets a plain OK. `seen` are the commands without their tags."""

    def __init__(self, **replies: str | Reply) -> None:
        self.replies = replies
        self.capabilities = "IMAP4rev1 IDLE UIDPLUS"
        self.seen: list[str] = []
        self.hang: asyncio.Event = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        while line := (await reader.readline()).decode():
            tag, _, command = line.strip().partition(" ")
            self.seen.append(command)
            words = command.split()
            name = (words[1] if words[0] == "UID" else words[0]).lower()
            if not await self._answer(name, tag, reader, writer):
                break
        writer.close()

    async def _answer(self, name: str, tag: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        reply = self.replies.get(name)
        if callable(reply):
            return await reply(tag, reader, writer)
        if name == "capability":
            writer.write(f"* CAPABILITY {self.capabilities}\r\n".encode())
        if name == "examine":
            writer.write(b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 4] ok\r\n")
        writer.write((reply or "{tag} OK done\r\n").format(tag=tag).encode())
        return name != "logout"


@asynccontextmanager
async def connected(script: Script, **settings: Any) -> AsyncIterator[ImapConnection]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = {"host": "127.0.0.1", "port": port, "tls": "none", "username": 'su"pport', "password": 'pa"ss\\word', **settings}
    connection = None
    try:
        connection = await ImapConnection.open(ImapSettings.model_validate(login), 'pa"ss\\word')
        yield connection
    finally:
        if connection is not None:
            await connection.close()
        script.hang.set()
        server.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_COMMAND", 0.3)
    monkeypatch.setattr(wire, "_LEAVE", 0.3)
    monkeypatch.setattr(wire, "_CONNECT", 0.5)


async def silent(_: str, __: asyncio.StreamReader, ___: asyncio.StreamWriter) -> bool:
    return True


async def hang_up(_: str, __: asyncio.StreamReader, ___: asyncio.StreamWriter) -> bool:
    return False


def then(text: str, *, stay: bool = True) -> Reply:
    async def reply(tag: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(text.format(tag=tag).encode())
        return stay

    return reply


async def test_names_and_secrets_are_quoted():
    """A quote in a user name or password does not break out of its argument."""
    script = Script()
    async with connected(script) as connection:
        await connection.select('My "Box"', writable=False)
    assert 'LOGIN "su\\"pport" "pa\\"ss\\\\word"' in script.seen
    assert 'EXAMINE "My \\"Box\\""' in script.seen


async def test_capabilities_are_read_after_the_login():
    """Many servers show IDLE only then; an untagged list in the login's answer is not believed."""
    script = Script(login="{tag} OK [CAPABILITY IMAP4rev1 MOVE] Logged in\r\n")
    async with connected(script) as connection:
        assert connection.can("IDLE")
        assert not connection.can("MOVE]")


async def test_a_search_has_no_charset():
    """Exchange and Yahoo refuse CHARSET."""
    script = Script(search="* SEARCH 3 1\r\n{tag} OK done\r\n")
    async with connected(script) as connection:
        await connection.select("INBOX", writable=False)
        assert await connection.search("1:*") == [1, 3]
    assert "UID SEARCH UID 1:*" in script.seen


HALF = "* 1 FETCH (UID 1 BODY[] {{100}}\r\nhalf"


@pytest.mark.parametrize("reply", [silent, then(HALF)])
async def test_a_fetch_that_never_ends_raises(reply):
    """Silence, half a literal: the call ends, the connection is not used again."""
    async with connected(Script(fetch=reply)) as connection:
        await connection.select("INBOX", writable=False)
        with pytest.raises(RetryableError, match="did not answer FETCH"):
            await asyncio.wait_for(connection.fetch_mails([1], 0), 5)
        with pytest.raises(RetryableError, match="broken"):
            await asyncio.wait_for(connection.search("1:*"), 5)


@pytest.mark.parametrize("reply", [hang_up, then(HALF, stay=False)])
async def test_a_fetch_that_is_cut_raises_at_once(reply, monkeypatch):
    """A lost connection ends the call, however patient the call is."""
    monkeypatch.setattr(wire, "_COMMAND", 60.0)
    async with connected(Script(fetch=reply)) as connection:
        await connection.select("INBOX", writable=False)
        with pytest.raises(RetryableError, match="closed the connection"):
            await asyncio.wait_for(connection.fetch_mails([1], 0), 5)


async def test_answers_that_nobody_asked_for_are_left_out():
    """Another session's change of flags may name a UID; it is no mail of ours to fetch."""
    text = "* 9 FETCH (UID 9 FLAGS (\\Seen))\r\n* 1 FETCH (UID 1 RFC822.SIZE 5)\r\n{tag} OK done\r\n"
    async with connected(Script(fetch=then(text))) as connection:
        await connection.select("INBOX", writable=False)
        assert [item.uid for item in await connection.list_mails([1])] == [1]


async def test_an_answer_of_too_many_lines_ends_the_call():
    """aioimaplib dies of a RecursionError there and never answers; the call does."""
    flood = "".join(f"* {n} FETCH (UID {n} FLAGS (\\\\Seen))\r\n" for n in range(1, 5000))
    async with connected(Script(fetch=then(flood + "{tag} OK done\r\n"))) as connection:
        await connection.select("INBOX", writable=False)
        with pytest.raises(RetryableError):
            await asyncio.wait_for(connection.list_mails([1]), 5)


@pytest.mark.parametrize(
    "reply", [silent, hang_up, then("* BYE shutting down\r\n", stay=False), then("{tag} BAD no\r\n"), then("{tag} NO [INUSE] later\r\n")]
)
async def test_an_idle_that_never_begins_raises(reply):
    """BYE before `+ idling` leaves aioimaplib waiting for ever; the call does not."""
    async with connected(Script(idle=reply)) as connection:
        await connection.select("INBOX", writable=False)
        connection.forget_growth()
        with pytest.raises(RetryableError):
            await asyncio.wait_for(connection.idle(60), 5)


async def test_a_connection_lost_in_idle_raises():
    """A lost connection does not fail what aioimaplib waits for; the call ends at once all the same."""

    async def idle(_: str, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"+ idling\r\n")
        await asyncio.sleep(0.1)
        return False

    async with connected(Script(idle=idle)) as connection:
        await connection.select("INBOX", writable=False)
        connection.forget_growth()
        with pytest.raises(RetryableError, match="closed the connection"):
            await asyncio.wait_for(connection.idle(60), 5)


async def test_idle_ends_by_itself_and_by_mail_and_again():
    """Keep-alives do not end it, EXISTS does, and it can be entered again."""

    async def idle(tag: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"+ idling\r\n* OK Still here\r\n* 2 EXPUNGE\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"* 4 EXISTS\r\n")
        assert (await reader.readline()).strip() == b"DONE"
        writer.write(f"{tag} OK idle ended\r\n".encode())
        return True

    async with connected(Script(idle=idle)) as connection:
        await connection.select("INBOX", writable=False)
        for _ in range(2):
            connection.forget_growth()
            await asyncio.wait_for(connection.idle(60), 5)
            assert connection.grew


async def test_mail_announced_behind_a_search_is_noticed():
    """The server will not announce it again in IDLE."""
    script = Script(search="* SEARCH\r\n* 4 EXISTS\r\n{tag} OK done\r\n")
    async with connected(script) as connection:
        await connection.select("INBOX", writable=False)
        connection.forget_growth()
        assert await connection.search("4:*") == []
        assert connection.grew


async def test_a_count_that_is_repeated_is_no_news():
    """Some servers repeat EXISTS with every answer; taking that for mail would search for ever and never rest."""
    script = Script(search="* SEARCH\r\n* 3 EXISTS\r\n{tag} OK done\r\n")
    async with connected(script) as connection:
        await connection.select("INBOX", writable=False)
        connection.forget_growth()
        await connection.search("4:*")
        assert not connection.grew


async def test_a_refused_token_is_a_refused_login():
    """The server waits for an empty line after its challenge; the answer is a refusal, not a time-out."""

    async def authenticate(tag: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"+ " + base64.b64encode(b'{"status":"400"}') + b"\r\n")
        assert (await reader.readline()).strip() == b""
        writer.write(f"{tag} NO [AUTHENTICATIONFAILED] no\r\n".encode())
        return True

    with pytest.raises(AuthError, match="access_token"):
        async with connected(Script(authenticate=authenticate), password=None, access_token="file:/nowhere"):
            pass


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("{tag} NO [AUTHENTICATIONFAILED] no\r\n", AuthError),
        ("{tag} NO wrong\r\n", AuthError),
        ("{tag} NO [UNAVAILABLE] later\r\n", RetryableError),
        ("{tag} NO [LIMIT] too many\r\n", RetryableError),
        (silent, RetryableError),
        (hang_up, RetryableError),
    ],
)
async def test_logins_are_refused_or_put_off(reply, error):
    """A busy server is not a wrong password."""
    with pytest.raises(error):
        async with connected(Script(login=reply)):
            pass


async def test_a_server_that_takes_no_password_without_tls():
    """LOGINDISABLED is the operator's to mend."""
    script = Script()
    script.capabilities = "IMAP4rev1 LOGINDISABLED"
    with pytest.raises(ConfigurationError, match="tls: implicit"):
        async with connected(script):
            pass
    assert not any(command.startswith("LOGIN") for command in script.seen)


async def test_a_folder_without_uidvalidity_is_refused():
    """Nothing could be resumed there."""
    async with connected(Script(examine=then("* 3 EXISTS\r\n{tag} OK done\r\n"))) as connection:
        with pytest.raises(ConfigurationError, match="UIDVALIDITY"):
            await connection.select("INBOX", writable=False)


async def test_fetched_bytes_are_exact():
    """Stars, brackets and parentheses inside a mail survive; foreign answers between are left out."""
    body = "5* hotel (\r\n* 9 FETCH (UID 9 BODY[] {3}\r\nA1 OK )) (("
    text = f"* 7 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 1 BODY[] {{{len(body)}}}\r\n{body} FLAGS ())\r\n* 8 EXISTS\r\n"

    async def fetch(tag: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for start in range(0, len(text), 7):
            writer.write(text[start : start + 7].encode())
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(f"{tag} OK done\r\n".encode())
        return True

    async with connected(Script(fetch=fetch)) as connection:
        await connection.select("INBOX", writable=False)
        assert await connection.fetch_mails([1], len(body)) == {1: body.encode()}


async def test_nothing_is_left_running_after_close():
    """Whatever state it was in, a closed connection leaves no task behind."""
    before = len(asyncio.all_tasks())
    for reply in (silent, hang_up):
        async with connected(Script(idle=reply, logout=silent)) as connection:
            await connection.select("INBOX", writable=False)
            connection.forget_growth()
            with pytest.raises(RetryableError):
                await connection.idle(60)
    await asyncio.sleep(0.05)
    assert len([task for task in asyncio.all_tasks() if "serve" not in repr(task)]) <= before


async def test_a_cancelled_call_breaks_the_connection():
    """The next command would wait behind the lost one for ever."""
    async with connected(Script(search=silent)) as connection:
        await connection.select("INBOX", writable=False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.search("1:*"), 0.05)
        with pytest.raises(RetryableError, match="broken"):
            await connection.search("1:*")
