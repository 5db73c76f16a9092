"""The page at `/` in a real browser over the real app on `:memory:`: what an agent sees, live, and what a customer's HTML cannot do.

With THREADLINE_PICTURES=DIR pictures of it are left there.
"""

import asyncio
import os
import shutil
import socket
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page, async_playwright, expect
from router.api.keys import Scope
from router.api.testing import World
from router.domain.documents import EntryDocument, Strand, Why
from router.store.port import EntryPage
from threadline_events.evidence import Evidence
from threadline_events.inbound import Author, Part, Participant
from threadline_events.states import DeliveryRank

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]
CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MINUTE = timedelta(minutes=1)
expect.set_options(timeout=20_000)  # a busy machine is no failure
COLOUR = "one => getComputedStyle(one).backgroundColor"
# WCAG AA for every visible text: 4.5 to 1, or 3 to 1 where it is large or bold and not small
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const over = (top, under) => top.slice(0, 3).map((one, i) => one * top[3] / 255 + under[i] * (1 - top[3] / 255));
  const light = (rgb) => { const [r, g, b] = rgb.map((one) => { const c = one / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (node) => { const layers = []; for (let one = node; one; one = one.parentElement) layers.push(rgba(getComputedStyle(one).backgroundColor)); return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]); };
  const weak = [];
  for (const node of document.querySelectorAll("#app *")) {
    const words = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!words || node.offsetParent === null || node.disabled || node.closest("[disabled], .node, .avatar, svg, kbd")) continue;
    const style = getComputedStyle(node);
    const under = ground(node);
    const text = over(rgba(style.color), under);
    const [high, low] = [light(text), light(under)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 18 ? 3 : 4.5)) weak.push(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(weak)];
}"""  # noqa: E501 - the browser's text


def lamp() -> bytes:
    """A picture of a lamp with a cracked shade, as PNG."""
    width, height = 360, 240
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += bytes(_lamp_colour(x, y))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(bytes(rows), 9)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _lamp_colour(x: int, y: int) -> tuple[int, int, int]:
    middle = abs(x - 180)
    glow = max(0, 90 - int((middle**2 + (y - 95) ** 2) ** 0.5) // 2)
    if 48 <= y < 132 and middle < 42 + (y - 48) * 0.45:
        cracked = abs((x - 196) - (y - 48) * 0.22 - (6 if (y // 9) % 2 else -5)) < 2.2 and y > 62
        return (74, 52, 40) if cracked else (246 - middle // 2, 214 - middle // 2, 150 - middle // 2)
    if 132 <= y < 196 and middle < 4:
        return (92, 70, 58)
    if 190 <= y < 202 and middle < 40:
        return (92, 70, 58)
    if y >= 202:
        return (188 - y // 8, 160 - y // 8, 132 - y // 8)
    return (214 + glow // 3, 219 + glow // 4, 216 + glow // 8)


@dataclass
class Site:
    """The app as it is served, and the conversation that the tests open."""

    world: World
    url: str
    strand: Strand
    sent: EntryDocument
    hostile: EntryDocument


@pytest_asyncio.fixture(loop_scope="module")
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    world = await World.open(tmp_path, heartbeat_seconds=1.0)
    world.now = datetime.now(UTC)
    world.clock = lambda: datetime.now(UTC)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(world.app, log_level="warning", timeout_graceful_shutdown=2))
    await world.parts.feed.start()
    feeding = asyncio.create_task(world.parts.feed.run())
    serving = asyncio.create_task(server.serve([listener]))
    strand, sent, hostile = await _story(world)
    yield Site(world, f"http://127.0.0.1:{listener.getsockname()[1]}", strand, sent, hostile)
    await world.parts.feed.close()
    server.should_exit = True
    await serving
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    await world.close()


async def _story(world: World) -> tuple[Strand, EntryDocument, EntryDocument]:
    """A customer who moves from mail to WhatsApp and back, and a few others."""
    now = world.now
    start = now - timedelta(days=1, hours=2)
    ann = await world.contact("email:ann.lee@northwind.example", "Ann Lee")
    strand = await world.strand(ann, "Lamp arrived with a broken shade", "email", start)
    photo = await world.attachment("acme", lamp(), "d" * 64, media_type="image/png", file_name="broken-shade.png")
    html = (
        '<style>p{color:red}</style><p style="font-family:Georgia">Hello,</p><p>the lamp from order <b>4711</b> arrived today, '
        'but the shade is <i>cracked</i>.</p><script>top.document.title="owned"</script><img src="https://tracker.example/p.gif">'
        '<table border="1"><tr><td>Order</td><td>4711</td></tr></table>'
    )
    hostile = await world.message(
        strand,
        "Hello,\n\nthe lamp from order 4711 arrived today, but the shade is cracked. See the picture. "
        "Could you send me a new one before Friday? It is a birthday present.\n\nAnn",
        start,
        parts=(Part(type="text", text="..."), Part(type="html", html=html)),
        attachments=(photo,),
        quoted_text="> Your order 4711 has been shipped.\n> Track it at https://acme.example/track/4711",
        participants=(
            Participant(identity="email:support@acme.example", role="to"),
            Participant(identity="email:tom.lee@northwind.example", display_name="Tom Lee", role="cc"),
        ),
        why=(
            Why(rule="signed reply address", saw="none in To or Cc"),
            Why(rule="In-Reply-To or References name a message we sent", saw="none of 0 known"),
            Why(rule="author", saw="ann.lee@northwind.example"),
            Why(rule="opened a new strand", saw="no active strand", decided=True),
        ),
    )
    await world.note(strand, "Warehouse has two shades left. I reserved one for her.", start + 12 * MINUTE)
    await world.reply(
        strand,
        "Hi Ann,\n\nI am sorry about that! A new shade leaves our warehouse this afternoon and will be with you on Thursday. "
        "No need to send the broken one back.\n\nMia",
        start + 20 * MINUTE,
        DeliveryRank.DELIVERED,
    )
    sms = await world.contact("whatsapp:+4915112345678", "Ann Lee", evidence=Evidence.PROVIDER)
    await world.link(ann, sms)
    morning = now - 42 * MINUTE
    phone = Author(identity=sms.identity, display_name="Ann Lee", evidence=Evidence.PROVIDER)
    await world.message(
        strand,
        "Hi, me again, from my phone. Will the courier call before he comes? The bell is broken.",
        morning,
        channel="whatsapp",
        author=phone,
        subject=None,
    )
    await world.reply(
        strand, "He will. I added your number to the parcel.", morning + 4 * MINUTE, DeliveryRank.READ, channel="whatsapp", subject=None
    )
    await world.message(strand, "Perfect, thank you!", morning + 6 * MINUTE, channel="whatsapp", author=phone, subject=None)
    sent = await world.reply(
        strand,
        "Hi Ann, your parcel is out for delivery today between 14:00 and 16:00. Here is the tracking page: https://acme.example/track/4711",
        now - 3 * MINUTE,
        DeliveryRank.QUEUED,
    )
    await world.suggestion("acme", ann.identity, "email:annlee84@oldmail.example", "typed this address into the return form")
    await _others(world)
    return strand, sent, hostile


Other = tuple[str, str | None, str | None, str, str, int, dict[str, str]]
OTHERS: list[Other] = [
    ("email:omar@haddad.example", "Omar Haddad", "Invoice for October", "email", "Could you add our VAT number to it, please?", 9, {}),
    ("webchat:acme-chat/v81", "Visitor 81", None, "webchat", "Is the oak shelf available in 80 cm?", 16, {"assignee": "Jon Park"}),
    ("telegram:acme-bot/993", "Lena Fischer", None, "telegram", "Mein Gutschein wird nicht angenommen", 31, {}),
    ("email:buy@bluebird.example", "Bluebird Hotels", "Quote for 40 lamps", "email", "By 12 January.", 95, {"assignee": "Mia Hart"}),
    ("instagram:acme/7781", "sofia.rose", None, "instagram", "Love the new colours! Do you ship to Norway?", 230, {}),
    ("sms:+447700900123", None, None, "sms", "Parcel not here yet", 1500, {}),
    ("mastodon:kai@fosstodon.example", "Kai", "Returns", "mastodon", "How do I send a chair back?", 2900, {"status": "resolved"}),
]


async def _others(world: World) -> None:
    now = world.now
    for identity, name, subject, channel, text, ago, more in OTHERS:
        contact = await world.contact(identity, name)
        at = now - ago * MINUTE
        strand = await world.strand(contact, subject, channel, at, **more)
        await world.message(strand, text, at, channel=channel)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("THREADLINE_REQUIRE_SERVICES") == "1":
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


async def opened(browser: Browser, site: Site, secret: str, *, width: int = 1440, height: int = 900, dark: bool = False) -> Page:
    """The page as an agent opens it, with every complaint of the browser kept on it."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        device_scale_factor=2 if "THREADLINE_PICTURES" in os.environ else 1,
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints  # type: ignore[attr-defined]
    await page.goto(f"{site.url}/#key={secret}")
    await expect(page.locator(".item").first).to_be_visible()
    return page


async def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("THREADLINE_PICTURES"):
        await asyncio.sleep(0.4)
        await page.screenshot(path=str(Path(folder) / f"{name}.png"))


async def open_case(page: Page) -> None:
    await page.get_by_text("Lamp arrived with a broken shade").first.click()
    await expect(page.locator(".entry")).to_have_count(7)
    await expect(page.locator(".composer, .composer-closed")).to_be_visible()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    """The page with one conversation open; the browser must not have complained about anything at the end."""
    page = await opened(browser, site, await site.world.key(Scope.REPLY, name="Mia Hart", brands=("acme",)))
    await open_case(page)
    yield page
    await page.context.close()
    assert page.complaints == []  # type: ignore[attr-defined]


async def test_the_timeline_shows_who_wrote_over_which_channel(page: Page) -> None:
    first = page.locator(".entry").first
    await expect(first).to_contain_text("Ann Lee")
    await expect(first).to_contain_text("Verified")
    await expect(first.get_by_role("img", name="Email")).to_be_visible()
    await expect(first.locator(".thumb img")).to_be_visible()
    await expect(page.locator(".entry").nth(3).get_by_role("img", name="WhatsApp")).to_be_visible()
    await expect(page.locator(".day")).to_have_text(["Yesterday", "Today"])
    await expect(page.locator(".entry.noted")).to_contain_text("Internal note")
    await expect(page.locator(".details")).to_contain_text("+4915112345678")


async def test_what_changes_shows_by_itself(page: Page, site: Site) -> None:
    last = page.locator(".entry").last
    await expect(last.locator(".ticks")).to_have_text("Queued")
    sent = await site.world.moved(site.sent, DeliveryRank.SENT)
    await expect(last.locator(".ticks")).to_have_text("Sent")
    await site.world.moved(sent, DeliveryRank.DELIVERED)
    await expect(last.locator(".ticks")).to_have_text("Delivered")
    await site.world.message(site.strand, "It is here, thank you!", datetime.now(UTC))
    await expect(page.locator(".entry").last).to_contain_text("It is here, thank you!")
    await expect(page.locator(".entry")).to_have_count(8)
    await expect(page.locator(".item").first).to_contain_text("It is here, thank you!")


async def test_an_answer_that_came_back_is_seen_in_the_list_and_its_button_is_free(page: Page, site: Site) -> None:
    """Nobody opens every conversation to see whether an answer arrived; what shows at the pointer must not lie over the button."""
    failed = await site.world.moved(await site.world.moved(site.sent, DeliveryRank.SENT), DeliveryRank.FAILED_RECEIPT)
    item = page.locator(".item", has_text="Lamp arrived")
    await expect(item.locator(".tag.failed")).to_have_text("Not delivered")
    card = page.locator(f'[data-id="{failed.message_id}"] .card')
    await card.hover()
    again = card.get_by_role("button", name="Try again")
    corner = (
        "one => { const box = one.getBoundingClientRect(); return one.contains(document.elementFromPoint(box.right - 4, box.bottom - 4)); }"
    )
    assert await again.evaluate(corner)


async def test_a_long_name_leaves_the_composer_in_one_line_and_a_toast_leaves_it_in_sight(page: Page, site: Site) -> None:
    name = "Very Long Name That Never Ends Because Somebody Put Their Whole Title In It"
    long = await site.world.contact("email:long@new.example", name)
    strand = await site.world.strand(long, None, "email", datetime.now(UTC))
    await site.world.message(strand, "Hello.", datetime.now(UTC), subject=None)
    item = page.locator(".item", has_text="Very Long Name")
    await expect(item.locator(".item-subject")).to_have_text("(no subject)")
    await item.click()
    await expect(page.locator(".composer-to")).to_contain_text("Very Long Name")
    tabs = [await tab.bounding_box() for tab in await page.locator(".composer-tabs [role=tab]").all()]
    assert len({box["y"] for box in tabs if box}) == 1
    await page.keyboard.press("a")
    await expect(page.locator(".toast")).to_be_visible()
    toast, composer = await page.locator(".toasts").bounding_box(), await page.locator(".composer").bounding_box()
    assert toast
    assert composer
    assert toast["x"] + toast["width"] <= composer["x"]


async def test_a_new_customer_appears_on_top_of_the_list(page: Page, site: Site) -> None:
    zoe = await site.world.contact("email:zoe@new.example", "Zoe New")
    strand = await site.world.strand(zoe, "Do you repair lamps?", "email", datetime.now(UTC))
    await site.world.message(strand, "Mine flickers.", datetime.now(UTC))
    top = page.locator(".item").first
    await expect(top).to_contain_text("Zoe New")
    await expect(top).to_contain_text("Mine flickers.")
    await expect(top.get_by_role("img", name="Unread")).to_be_visible()


async def test_a_reply_and_a_note_are_written_in_plain_sight_of_which_is_which(page: Page, site: Site) -> None:
    await page.keyboard.press("r")
    await page.keyboard.type("We will call you.")
    await page.keyboard.press("Control+Enter")
    last = page.locator(".entry").last
    await expect(last).to_contain_text("We will call you.")
    await expect(last.locator(".ticks")).to_have_text("Queued")
    await expect(page.locator(".composer textarea")).to_have_value("")
    await page.keyboard.press("Escape")
    await page.keyboard.press("n")
    await expect(page.locator(".composer")).to_have_class("composer noting")
    await expect(page.locator(".composer-to")).to_have_text("Only your team sees this")
    reply, note = [await page.locator(".entry.outbound .card").last.evaluate(COLOUR), await page.locator(".composer").evaluate(COLOUR)]
    assert reply != note
    await page.keyboard.type("Asked the courier.")
    await page.get_by_role("button", name="Add note").click()
    await expect(page.locator(".entry.noted").last).to_contain_text("Asked the courier.")
    timeline = await site.world.store.entry_page(EntryPage(strands=frozenset({site.strand.strand_id}), descending=True, limit=2))
    assert [(one.direction, one.text) for one in timeline] == [("internal", "Asked the courier."), ("outbound", "We will call you.")]


async def test_a_reply_goes_to_whom_the_composer_names(page: Page, site: Site) -> None:
    """P4: a participant who wrote last gets an answer only where the agent chose his message."""
    await expect(page.locator(".composer-to")).to_contain_text("To Ann LeeWhatsApp")
    tom = Author(identity="email:tom.lee@northwind.example", display_name="Tom Lee", evidence=Evidence.SIGNED)
    await site.world.message(site.strand, "Her brother here. Any news?", datetime.now(UTC), author=tom)
    last = page.locator(".entry").last
    await expect(last).to_contain_text("Her brother here.")
    await expect(page.locator(".composer-to")).to_contain_text("To Ann Lee")
    await page.keyboard.press("r")
    await page.keyboard.type("Dear Ann")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".entry").last).to_contain_text("Dear Ann")
    await page.keyboard.press("Escape")
    await page.locator(".entry").filter(has_text="Her brother here.").hover()
    await page.locator(".entry").filter(has_text="Her brother here.").get_by_role("button", name="Reply to this message").click()
    await expect(page.locator(".composer-to")).to_contain_text("To Tom Lee")
    await page.keyboard.type("Dear Tom")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".entry").last).to_contain_text("Dear Tom")
    answered = []
    for entry in await site.world.store.entry_page(EntryPage(strands=frozenset({site.strand.strand_id}), descending=True, limit=2)):
        asked = (await site.world.store.entries([entry.answers or ""]))[entry.answers or ""]
        answered.append((entry.text, asked.author.display_name))
    assert answered == [("Dear Tom", "Tom Lee"), ("Dear Ann", "Ann Lee")]


async def test_a_draft_stays_with_its_conversation(page: Page) -> None:
    await page.keyboard.press("r")
    await page.keyboard.type("Half a thought")
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await expect(page.locator(".head-subject")).to_have_text("Invoice for October")
    await expect(page.locator(".composer textarea")).to_have_value("")
    await page.keyboard.press("k")
    await expect(page.locator(".head-subject")).to_have_text("Lamp arrived with a broken shade")
    await expect(page.locator(".composer textarea")).to_have_value("Half a thought")


async def test_a_failed_message_says_why_and_is_sent_again(page: Page, site: Site) -> None:
    await page.keyboard.press("r")
    await page.keyboard.type("Second try")
    await page.keyboard.press("Control+Enter")
    last = page.locator(".entry").last
    await expect(last).to_contain_text("Second try")
    message_id = str(await last.get_attribute("data-id"))
    document = (await site.world.store.entries([message_id]))[message_id]
    await site.world.moved(document, DeliveryRank.FAILED_CALL, "550 5.1.1 no such mailbox")
    await expect(last).to_contain_text("Not delivered")
    await expect(last).to_contain_text("550 5.1.1 no such mailbox")
    await last.get_by_role("button", name="Try again").click()
    await expect(page.locator(f"[data-id={message_id}] .ticks")).to_have_text("Queued · attempt 2")


async def test_resolving_reopening_assigning(page: Page, site: Site) -> None:
    await page.get_by_role("button", name="Resolve").click()
    await expect(page.locator(".status")).to_have_text("Resolved")
    await expect(page.locator(".event").last).to_contain_text("resolved the conversation")
    await expect(page.locator(".item.unread, .item").filter(has_text="Lamp arrived")).to_have_count(0)
    await page.get_by_role("button", name="Reopen").click()
    await expect(page.locator(".status")).to_have_text("Open")
    await page.keyboard.press("a")
    await expect(page.locator(".head-meta")).to_contain_text("Assigned to Mia Hart")
    await page.get_by_role("button", name="Snooze", exact=True).click()
    await page.get_by_role("menuitem", name="Tomorrow").click()
    await expect(page.locator(".status")).to_have_text("Snoozed")
    await site.world.message(site.strand, "Hello again", datetime.now(UTC))
    await expect(page.locator(".status")).to_have_text("Open")


async def test_the_customers_html_runs_nothing_and_reaches_nobody(page: Page, site: Site) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.get_by_role("button", name="Show as sent").click()
    frame = page.frame_locator(".mail-frame")
    await expect(frame.get_by_text("cracked")).to_be_visible()
    await expect(frame.locator("td").first).to_have_text("Order")
    assert await page.locator(".mail-frame").get_attribute("sandbox") == "allow-popups allow-popups-to-escape-sandbox"
    assert [url for url in asked if not url.startswith((site.url, "data:", "about:", "blob:"))] == []
    assert "owned" not in await page.title()
    await page.get_by_role("button", name="Show quoted").click()
    await expect(page.locator(".quoted")).to_contain_text("Your order 4711 has been shipped.")


async def test_why_a_message_is_here_and_its_payload(page: Page, site: Site) -> None:
    first = page.locator(".entry").first
    await first.hover()
    await first.get_by_role("button", name="Why is this here?").click()
    drawer = page.get_by_role("dialog")
    await expect(drawer.locator(".rule-row.decided")).to_contain_text("Opened a new strand")
    async with page.expect_download() as download:
        await drawer.get_by_role("button", name="Download the untouched payload").click()
    assert (await download.value).suggested_filename == f"{site.hostile.message_id}.eml"
    await page.keyboard.press("Escape")
    await expect(drawer).to_have_count(0)


async def test_finding_and_filtering(page: Page) -> None:
    await page.keyboard.press("/")
    await page.keyboard.type("oak shelf")
    await expect(page.locator(".item")).to_have_count(1)
    await expect(page.locator(".item")).to_contain_text("Visitor 81")
    await page.locator("#search").fill("no such words")
    await expect(page.locator(".list-empty")).to_contain_text("Nothing found")
    await page.locator("#search").fill("")
    await page.get_by_role("radio", name="Resolved").click()
    await expect(page.locator(".item")).to_have_count(1)
    await page.get_by_role("radio", name="All").click()
    await page.get_by_role("button", name="Filter by channel").click()
    await page.get_by_role("menuitem", name="Telegram").click()
    await expect(page.locator(".item-name")).to_have_text(["Lena Fischer"])


async def test_files_go_with_a_reply(page: Page) -> None:
    await page.locator(".composer input[type=file]").set_input_files(
        {"name": "label.txt", "mimeType": "text/plain", "buffer": b"return label"}
    )
    await expect(page.locator(".composer .file")).to_contain_text("12 bytes")
    await page.keyboard.press("r")
    await page.keyboard.type("Your return label")
    await page.keyboard.press("Control+Enter")
    last = page.locator(".entry").last
    await expect(last).to_contain_text("label.txt")
    async with page.expect_download() as download:
        await last.get_by_role("button", name="Download label.txt").click()
    assert await asyncio.to_thread(Path(await (await download.value).path()).read_bytes) == b"return label"


async def test_everything_that_can_be_pressed_has_a_name(page: Page) -> None:
    nameless = await page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], input, textarea, iframe")]
        .filter((one) => one.offsetParent !== null)
        .filter((one) => !(one.getAttribute("aria-label") || one.title || one.textContent.trim() || one.closest("label")))
        .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    assert await page.locator("img:not([alt])").count() == 0


async def test_small_text_has_enough_contrast_in_both_themes(page: Page) -> None:
    for theme in ("light", "dark"):
        await page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        weak = await page.evaluate(CONTRAST)
        assert weak == [], theme  # name of the element and its ratio


async def test_a_wrong_key_is_said_and_the_right_one_stays_in_the_tab(browser: Browser, site: Site) -> None:
    secret = await site.world.key(Scope.READ, name="Reader")
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(site.url)
    await page.get_by_label("API key").fill("tl_" + "x" * 40)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("This key is not valid.")
    await page.get_by_label("API key").fill(secret)
    await page.keyboard.press("Enter")
    await open_case(page)
    await expect(page.locator(".composer-closed")).to_have_text("This key may read but not reply.")
    await expect(page.get_by_role("button", name="Resolve")).to_have_count(0)
    assert secret not in str(await page.evaluate("JSON.stringify(localStorage)"))
    assert secret not in page.url
    other = await context.new_page()
    await other.goto(site.url)
    await expect(other.get_by_label("API key")).to_be_visible()


async def test_a_lost_stream_comes_back_and_misses_nothing(page: Page, site: Site) -> None:
    await page.context.set_offline(True)
    await site.world.message(site.strand, "while you were away", datetime.now(UTC))
    await page.context.set_offline(False)
    await expect(page.locator(".entry").last).to_contain_text("while you were away")
    page.complaints.clear()  # type: ignore[attr-defined]  # the browser reports the lost network, rightly


async def test_on_a_telephone_it_is_one_column_with_a_way_back(browser: Browser, site: Site) -> None:
    page = await opened(browser, site, await site.world.key(Scope.REPLY), width=390, height=800)
    await expect(page.locator(".stage")).to_be_hidden()
    await open_case(page)
    await expect(page.locator(".sidebar")).to_be_hidden()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert await page.locator(".composer .send").evaluate("one => one.getBoundingClientRect().right") <= 390
    await page.get_by_role("button", name="Back to the list").click()
    await expect(page.locator(".sidebar")).to_be_visible()


@pytest.mark.skipif("THREADLINE_PICTURES" not in os.environ, reason="THREADLINE_PICTURES names no folder")
async def test_pictures(browser: Browser, site: Site) -> None:
    secret = await site.world.key(Scope.REPLY, name="Mia Hart", brands=("acme",))
    page = await opened(browser, site, secret)
    await picture(page, "list")
    await page.get_by_text("Lamp arrived with a broken shade").first.click()
    await expect(page.locator(".entry")).to_have_count(7)
    await picture(page, "conversation")
    await page.locator(".timeline-scroll").evaluate("one => one.scrollTop = 0")
    await page.get_by_role("button", name="Show quoted").click()
    await page.get_by_role("button", name="Show as sent").click()
    await page.locator(".timeline-scroll").evaluate("one => one.scrollTop = 0")
    await picture(page, "as-sent")
    await page.locator(".entry").first.hover()
    await page.get_by_role("button", name="Why is this here?").first.click()
    await picture(page, "explain")
    await page.keyboard.press("Escape")
    await page.keyboard.press("n")
    await page.keyboard.type("Asked the courier to ring.")
    await picture(page, "note")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await picture(page, "help")
    page = await opened(browser, site, secret, dark=True)
    await page.get_by_text("Lamp arrived with a broken shade").first.click()
    await expect(page.locator(".entry")).to_have_count(7)
    await picture(page, "dark")
    page = await opened(browser, site, secret, width=390, height=800)
    await picture(page, "mobile-list")
    await page.get_by_text("Lamp arrived with a broken shade").first.click()
    await expect(page.locator(".entry")).to_have_count(7)
    await picture(page, "mobile")
    page = await opened(browser, site, secret)
    await page.goto(f"{site.url}/v1/docs")
    await expect(page.locator(".operation").first).to_be_visible()
    await picture(page, "docs")
    context = await browser.new_context(viewport={"width": 1200, "height": 800})
    page = await context.new_page()
    await page.goto(site.url)
    await picture(page, "gate")
