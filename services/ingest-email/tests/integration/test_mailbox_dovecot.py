"""Mail from a real Dovecot becomes events on the bus, whatever the mailbox and the network do."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from ingest_email.imap.connection import ImapConnection
from threadline_connectors.accounts import Condition
from threadline_connectors.errors import AuthError
from threadline_connectors.pollers import Source
from threadline_runtime.failpoints import arm_failpoints, disarm_failpoints
from threadline_runtime.testing.mail_world import ANN, SUPPORT

pytestmark = pytest.mark.integration

INBOX = Source("support-mail", "INBOX")


async def test_old_mail_then_pushed_mail_arrives(rig, feeds, mail, mail_world):
    """P1: what lies there and what IDLE announces is on the bus, and nothing at the server has changed."""
    for number in range(3):
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(number))
    async with rig.running(feeds()):
        await rig.until_intakes(3)
        await rig.until(INBOX, Condition.LISTENING)
        await asyncio.to_thread(mail_world.send, mail(3), ANN, [SUPPORT])
        intakes = await rig.until_intakes(4)
    events = await rig.events()
    assert sorted(event.subject for event in events) == ["Order 0", "Order 1", "Order 2", "Order 3"]
    assert {event.intake_id for event in events} == {intake.intake_id for intake in intakes}
    assert all(intake.outcome is None and intake.event_count == 1 for intake in intakes)
    by_subject = sorted(events, key=lambda event: event.subject)
    assert [event.order for event in by_subject] == sorted(event.order for event in events)
    assert "\\Seen" not in str(mail_world.dovecot.flags(SUPPORT))
    assert len(mail_world.dovecot.messages(SUPPORT)) == 4


async def test_polling_where_there_is_no_idle(rig, feeds, mail, mail_world, monkeypatch):
    """Mail comes in without IDLE as well."""
    real = ImapConnection.can
    monkeypatch.setattr(ImapConnection, "can", lambda self, name: name != "IDLE" and real(self, name))

    async def no_idle(self, seconds):
        raise AssertionError("the server has no IDLE")

    monkeypatch.setattr(ImapConnection, "idle", no_idle)
    async with rig.running(feeds(poll_seconds=1)):
        await rig.until(INBOX, Condition.LISTENING)
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(1))
        await rig.until_intakes(1)


async def test_killed_server_comes_back(rig, feeds, mail, mail_world):
    """A server that dies under an idle connection is noticed, named, and used again when it is back; nothing is lost or doubled."""
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(0))
    async with rig.running(feeds()):
        await rig.until_intakes(1)
        await rig.until(INBOX, Condition.LISTENING)
        await asyncio.to_thread(mail_world.dovecot.kill)
        state = await rig.until(INBOX, Condition.UNREACHABLE)
        assert state.reason is not None
        assert "127.0.0.1" in state.reason
        await asyncio.to_thread(mail_world.dovecot.start)
        await asyncio.to_thread(mail_world.dovecot.append, SUPPORT, "INBOX", mail(1))
        intakes = await rig.until_intakes(2)
    assert len({intake.intake_id for intake in intakes}) == len(intakes) == 2


async def test_sessions_cut_again_and_again(rig, feeds, mail, mail_world):
    """P2: a backlog taken in over connections that are cut has every mail; what comes twice has the same intake and event."""
    await asyncio.to_thread(mail_world.dovecot.append_many, SUPPORT, [mail(number, "x" * 20_000) for number in range(400)])
    async with rig.running(feeds()):
        for _ in range(4):
            await asyncio.sleep(0.15)
            await asyncio.to_thread(mail_world.dovecot.disconnect, SUPPORT)
        await rig.until(INBOX, Condition.LISTENING, within=60)
    events = await rig.events()
    assert {event.external_id for event in events} == {f"{number}@client.test" for number in range(400)}
    assert len({event.event_id for event in events}) == 400
    assert len({intake.intake_id for intake in await rig.intakes()}) == 400


async def test_new_uidvalidity_gives_duplicates_only(rig, feeds, mail, mail_world):
    """P2: renumbered mails come again under the same event and message ids; mail after that comes once."""
    for number in range(3):
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(number))
    async with rig.running(feeds()):
        await rig.until_intakes(3)
        await rig.until(INBOX, Condition.LISTENING)
    await asyncio.to_thread(mail_world.dovecot.change_uid_validity, SUPPORT)
    async with rig.running(feeds()):
        await rig.until_intakes(6)
        await asyncio.to_thread(mail_world.dovecot.append, SUPPORT, "INBOX", mail(3))
        intakes = await rig.until_intakes(7)
        await rig.until(INBOX, Condition.LISTENING)
    assert len({intake.intake_id for intake in intakes}) == 7
    counts = Counter(event.message_id for event in await rig.events())
    assert sorted(counts.values()) == [1, 2, 2, 2]


async def test_several_folders_with_difficult_names(rig, feeds, mail, mail_world):
    """Each folder is a source of its own, also with spaces, quotes, ampersands and letters beyond ASCII."""
    names = ("INBOX", "Été & Co", 'Das "Wichtige"', "受信箱")
    for number, name in enumerate(names):
        mail_world.dovecot.append(SUPPORT, name, mail(number))
    async with rig.running(feeds(folders=names)):
        await rig.until_intakes(4)
        for name in names:
            await rig.until(Source("support-mail", name), Condition.LISTENING)
    assert {event.subject for event in await rig.events()} == {f"Order {number}" for number in range(4)}


async def test_mail_with_40_megabytes(rig, feeds, mail_world, spool, tmp_path, monkeypatch):
    """A large mail goes in pieces through files: its bytes and its attachment are kept whole, and the spool is empty afterwards."""

    async def whole(*_):
        raise AssertionError("a large mail was fetched whole")

    monkeypatch.setattr(ImapConnection, "fetch_mails", whole)
    line = b"QUJD" * 19 + b"\r\n"
    body = line * (40 * 1024 * 1024 // len(line))
    head = (
        b"From: Ann <ann@client.test>\r\nTo: support@acme.test\r\nSubject: big\r\nMessage-ID: <big@client.test>\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n--b1\r\nContent-Type: text/plain\r\n\r\nsee file\r\n"
        b'--b1\r\nContent-Type: application/zip; name="a.zip"\r\nContent-Disposition: attachment; filename="a.zip"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n"
    )
    raw = head + body + b"--b1--\r\n"
    await asyncio.to_thread(mail_world.dovecot.append, SUPPORT, "INBOX", raw)
    async with rig.running(feeds()):
        (intake,) = await rig.until_intakes(1, within=60)
        await rig.until(INBOX, Condition.LISTENING)
    assert (intake.outcome, intake.reason) == (None, None)
    (event,) = await rig.events()
    assert event.text is not None
    assert event.text.strip() == "see file"
    (attachment,) = event.attachments
    assert attachment.size == len(body) // 78 * 57
    assert await rig.blobs.size(f"acme/{attachment.sha256}") == attachment.size
    assert intake.raw == b""
    assert intake.blob is not None
    assert event.raw is not None
    assert await rig.blobs.size(intake.blob) == event.raw.size >= len(raw) - 2
    assert list(spool.folder.iterdir()) == []
    assert list((tmp_path / "parts").iterdir()) == []


async def test_difficult_mails_end_as_entries_or_rejections(rig, feeds, mail, mail_world):
    """P3: each mail is an intake with its events or its reason, and the mailbox goes on."""
    no_id = mail(1).replace(b"Message-ID: <1@client.test>\n", b"")
    broken = (
        b"From: ann@client.test\r\nSubject: broken\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n"
    )
    charset = b"From: ann@client.test\r\nSubject: charset\r\nContent-Type: text/plain; charset=x-klingon\r\n\r\nnuqneH \xe9\r\n"
    part = b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
    parts = b"From: ann@client.test\r\nSubject: parts\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + part * 10_000 + b"--x--\r\n"
    nobody = b"Subject: nobody\r\n\r\nwho am I\r\n"
    mails = [no_id, mail(2, **{"Message-ID": ""}), mail(3), mail(3, "other words"), broken, charset, parts, nobody, mail(9)]
    for one in mails:
        mail_world.dovecot.append(SUPPORT, "INBOX", one)
    async with rig.running(feeds()):
        intakes = await rig.until_intakes(len(mails), within=60)
        await rig.until(INBOX, Condition.LISTENING)
    events = await rig.events()
    subjects = Counter(event.subject for event in events)
    rejected = [intake for intake in intakes if intake.outcome == "rejected"]
    assert [intake.reason for intake in rejected] == ["no_author"]
    assert rejected[0].raw.strip().endswith(b"who am I")
    assert subjects == Counter(["Order 1", "Order 2", "Order 3", "Order 3", "broken", "charset", "parts", "Order 9"])
    assert len({event.message_id for event in events}) == 8  # a reused Message-ID is not the same mail
    assert rig.counted("events_rejected_total", channel="email", account="support-mail", reason="no_author") == 1


async def test_start_now_takes_only_what_comes_later(rig, feeds, mail, mail_world):
    """`start_at: now` leaves old mail alone, also after a restart before the first new mail."""
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(0))
    for number in (1, 2):
        async with rig.running(feeds(start_at="now")):
            await rig.until(INBOX, Condition.LISTENING)
            mail_world.dovecot.append(SUPPORT, "INBOX", mail(number))
            await rig.until_intakes(number)
    assert {event.subject for event in await rig.events()} == {"Order 1", "Order 2"}


async def test_mail_between_the_first_start_and_a_crash_is_not_lost(rig, feeds, mail, mail_world):
    """P1: the starting point is stored before the first fetch, so what comes while we are down is fetched later."""
    async with rig.running(feeds(start_at="now")):
        await rig.until(INBOX, Condition.LISTENING)
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(1))
    async with rig.running(feeds(start_at="now")):
        await rig.until_intakes(1)


async def test_start_now_keeps_old_mail_away_after_renumbering(rig, feeds, mail, mail_world):
    """New UIDs do not bring in what was there before the account began."""
    for number in range(3):
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(number))
        await asyncio.sleep(1.1)  # INTERNALDATE is in whole seconds
    async with rig.running(feeds(start_at="now")):
        await rig.until(INBOX, Condition.LISTENING)
        await asyncio.sleep(1.1)
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(7))
        await rig.until_intakes(1)
        await rig.until(INBOX, Condition.LISTENING)
    await asyncio.to_thread(mail_world.dovecot.change_uid_validity, SUPPORT)
    async with rig.running(feeds(start_at="now")):
        await rig.until_intakes(2)
        await rig.until(INBOX, Condition.LISTENING)
    subjects = {event.subject for event in await rig.events()}
    assert "Order 7" in subjects
    assert subjects <= {"Order 7", "Order 2"}  # the newest old one may share its second with the start


@pytest.mark.parametrize(("days", "count"), [(-1, 2), (2, 0)])
async def test_start_at_a_date(rig, feeds, mail, mail_world, days, count):
    """`start_at: DATE` goes by the day a mail arrived."""
    for number in range(2):
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(number))
    day = (datetime.now(UTC) + timedelta(days=days)).date()
    async with rig.running(feeds(start_at=day)):
        await rig.until(INBOX, Condition.LISTENING)
        await rig.until_intakes(count)
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(5))
        await rig.until_intakes(count + 1)
    assert len(await rig.events()) == count + 1


async def test_wrong_password_is_a_state(rig, feeds, mail_world):
    """A refused login is named with what to do; the password is not."""
    async with rig.running(feeds(password="wrong-secret")):
        state = await rig.until(INBOX, Condition.AUTH_FAILED)
    assert state.reason is not None
    assert "check username and password" in state.reason
    assert "wrong-secret" not in state.reason


async def test_missing_folder_is_a_state(rig, feeds, mail_world):
    """A folder that is not there is the operator's to mend."""
    async with rig.running(feeds(folder="Nowhere")):
        state = await rig.until(Source("support-mail", "Nowhere"), Condition.MISCONFIGURED)
    assert state.reason is not None
    assert "Nowhere" in state.reason


async def test_unreachable_server_is_a_state(rig, feeds, mail_world):
    """Nobody listens on the port: one clear line."""
    async with rig.running(feeds(port=1)):
        state = await rig.until(INBOX, Condition.UNREACHABLE)
    assert state.reason is not None
    assert "cannot be reached" in state.reason


@pytest.mark.parametrize(("imap", "flag"), [({"mark": "seen"}, "\\Seen"), ({"mark": "keyword", "mark_keyword": "Taken"}, "Taken")])
async def test_marks_only_where_configured(rig, feeds, mail, mail_world, imap, flag):
    """A configured mark is set once the mail is on the bus."""
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(0))
    async with rig.running(feeds(**imap)):
        await rig.until(INBOX, Condition.LISTENING)
    assert [flags.split() for flags in mail_world.dovecot.flags(SUPPORT).values()] == [[flag]]


async def test_moves_only_where_configured(rig, feeds, mail, mail_world):
    """`mark: move` leaves the mail whole in the other folder."""
    mail_world.dovecot.create_folder(SUPPORT, "Done")
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(0))
    async with rig.running(feeds(mark="move", move_to="Done")):
        await rig.until(INBOX, Condition.LISTENING)
    assert len(mail_world.dovecot.messages(SUPPORT)) == 0
    assert len(mail_world.dovecot.messages(SUPPORT, "Done")) == 1


@pytest.mark.parametrize("place", ["before_checkpoint", "after_checkpoint", "after_read", "after_fetch", "after_claim", "after_start"])
async def test_failure_between_steps_gives_duplicates_only(rig, feeds, mail, mail_world, place):
    """P1, P2: whatever breaks between two steps, every mail comes, and a repeat is the same intake."""
    for number in range(3):
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(number))
    arm_failpoints({"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": f"connectors.poller.{place}=raise@1"})
    try:
        async with rig.running(feeds()):
            await rig.until(INBOX, Condition.LISTENING)
    finally:
        disarm_failpoints()
    intakes = await rig.intakes()
    assert len({intake.intake_id for intake in intakes}) == 3
    assert len(intakes) == (6 if place == "before_checkpoint" else 3)
    assert len({event.event_id for event in await rig.events()}) == 3


async def test_xoauth2_with_good_and_expired_tokens(rig, feeds, mail, mail_world, tmp_path):
    """A token logs in; an expired one is a refused login, not a time-out, and a renewed one is used."""
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(0))
    now = int(datetime.now(UTC).timestamp())
    good = mail_world.dovecot.access_token(SUPPORT, expires_at=now + 600)
    stale = mail_world.dovecot.access_token(SUPPORT, expires_at=now - 600)
    token = tmp_path / "token"
    token.write_text(stale)
    async with rig.running(feeds(password=None, access_token=f"file:{token}")):
        state = await rig.until(INBOX, Condition.AUTH_FAILED)
        assert state.reason is not None
        assert "access_token" in state.reason
        token.write_text(good)  # something renews it; the next round reads it
        await rig.until_intakes(1)


async def test_tls_needs_a_trusted_certificate(rig, feeds, mail, mail_world):
    """TLS is verified; a private authority is named by ca_file."""
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(0))
    secure = {"tls": "implicit", "host": "localhost", "port": mail_world.dovecot.ports.imaps}
    async with rig.running(feeds(**secure)):
        state = await rig.until(INBOX, Condition.MISCONFIGURED)
        assert state.reason is not None
        assert "ca_file" in state.reason
    async with rig.running(feeds(**secure, ca_file=mail_world.dovecot.certificates.authority)):
        await rig.until_intakes(1)


async def test_check_tells_how_many_mails(feeds, mail, mail_world):
    """`check` logs in, enters the folder and leaves; a refused login raises."""
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(0))
    (feed,) = feeds()
    assert await feed.poller.check() == 1
    (wrong,) = feeds(password="wrong-secret")
    with pytest.raises(AuthError):
        await wrong.poller.check()


async def test_backlog_is_taken_in_batches(rig, feeds, mail, mail_world):
    """A backlog ends whole and in order of the mailbox, in batches that keep memory flat."""
    await asyncio.to_thread(mail_world.dovecot.append_many, SUPPORT, (mail(number) for number in range(3000)))
    async with rig.running(feeds()):
        await rig.until(INBOX, Condition.LISTENING, within=90)
    orders = {event.external_id: event.order for event in await rig.events()}
    assert len(orders) == 3000
    assert len(set(orders.values())) == 3000


async def test_a_mail_of_exactly_whole_pieces_comes_whole(rig, feeds, mail, mail_world):
    """P6: behind the last full piece a server answers an empty one; that is the end, not a mail held back."""
    head = mail(1).partition(b"\n\n")[0].replace(b"\n", b"\r\n") + b"\r\n\r\n"
    size = 6 * 1024 * 1024
    rest = size - len(head)
    whole = head + b"x" * (rest % 64) + (b"x" * 62 + b"\r\n") * (rest // 64)
    assert len(whole) == size
    await asyncio.to_thread(mail_world.dovecot.append, SUPPORT, "INBOX", whole)
    async with rig.running(feeds()):
        (intake,) = await rig.until_intakes(1)
    assert intake.blob is not None
    assert await rig.blobs.get(intake.blob) == whole
