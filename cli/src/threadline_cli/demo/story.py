"""The script of the demo: customers write mails, an agent answers some, the customers answer back.

Some conversations stay open for whoever watches the page. Not here: the mail servers (`mail_world`), how it is shown (`display`).
"""

import asyncio
import email
import itertools
import smtplib
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import parseaddr

from threadline_events.timeline import Conversation, Entry

from threadline_cli.demo import cast
from threadline_cli.demo.agent import Agent, within
from threadline_cli.demo.cast import Customer
from threadline_cli.demo.mail_world import MailWorld
from threadline_cli.demo.mails import answer_to, away_notice, letter, with_photo

__all__ = ["Story"]

Tell = Callable[[str, str], None]
_MOST_ANSWERS_A_CUSTOMER = 20
_SMALL_TALK = (
    "Thank you, that helps a lot!",
    "Great, I will try that and let you know.",
    "Perfect. Just one more thing: can I change the delivery address until then?",
    "Understood, thanks for the quick answer!",
)


class Story:
    """Plays the script.

    `tell(who, what)` hears each step; `pause` lies between two steps, `patience` is how long an answer may take (both in seconds).
    """

    def __init__(self, world: MailWorld, agent: Agent, tell: Tell, *, pause: float, patience: float) -> None:
        self._world = world
        self._agent = agent
        self._tell = tell
        self._pause = pause
        self._patience = patience
        self._keys = itertools.count(1)

    async def play(self) -> None:
        """The script from beginning to end. Raises StoryError where something did not come that should have."""
        conversation, thanks = await self._ann_asks_for_her_order()
        await self._kenji_and_elena_write()
        await self._two_brands_and_two_mailboxes()
        await self._a_mail_that_bounces()
        await self._an_automatic_reply()
        await self._ann_has_her_tent(conversation, thanks)

    async def keep_answering(self) -> None:
        """Afterwards, until cancelled: a customer who gets an answer from the page answers back."""
        await asyncio.gather(*(self._chat(each) for each in cast.CUSTOMERS if each.mailbox))

    async def _ann_asks_for_her_order(self) -> tuple[Conversation, Entry]:
        """Her conversation, and her own last mail in it."""
        subject = "Where is my order 4711?"
        asked = letter(cast.ANN, "support@acme.test", subject, _ANN_ASKS, _now())
        await self._send(cast.ANN, with_photo(asked, "our-camp.png"), f"“{subject}”, with a photo")
        conversation = await self._agent.conversation(subject, "acme")
        await self._agent.assign(conversation.conversation_id, cast.AGENT)
        self._tell(cast.AGENT, "takes it over")
        await self._note(conversation, "Parcel is with the carrier since this morning, tracking AB123.")
        answer = await self._answer(conversation, cast.ANN, _TO_ANN)
        thanks = answer_to(cast.ANN, answer, _ANN_ANSWERS, _now())
        await self._send(cast.ANN, thanks, "answers back in the same thread")
        thanked = await self._entry(conversation, "Ann's answer", lambda entry: "husband" in (entry.text or ""))
        joins = answer_to(cast.BEN, answer, "Ben here, Ann's husband. The address is 12 Mill Lane, Riverside.", _now())
        await self._send(cast.BEN, joins, "joins from another address, by the signed reply address")
        await self._entry(conversation, "Ben's mail in Ann's conversation", lambda entry: "Mill Lane" in (entry.text or ""))
        return conversation, thanked

    async def _ann_has_her_tent(self, conversation: Conversation, thanked: Entry) -> None:
        await self._note(conversation, "The carrier has the new address; the courier calls Ben first.")
        answer = await self._answer(conversation, cast.ANN, _TO_ANN_AND_BEN, answered=thanked.message_id)
        await self._send(cast.ANN, answer_to(cast.ANN, answer, _ANN_IS_HAPPY, _now()), "has the tent, and a last question for you")
        await self._entry(conversation, "Ann's last mail", lambda entry: "pegs" in (entry.text or ""))

    async def _kenji_and_elena_write(self) -> None:
        sizes = letter(cast.KENJI, "support@acme.test", "サイズについて", _KENJI_ASKS, _now())
        await self._send(cast.KENJI, sizes, "asks about sizes, in Japanese (left for you to answer)")
        await self._agent.conversation("サイズについて", "acme")
        refund = letter(cast.ELENA, "orders@acme.test", "Refund for the blue backpack", _ELENA_ASKS, _now())
        await self._send(cast.ELENA, refund, "wants a refund (left for you to answer)")
        await self._agent.conversation("Refund for the blue backpack", "acme")

    async def _two_brands_and_two_mailboxes(self) -> None:
        subject = "Opening hours in December"
        both = letter(cast.BEN, "support@acme.test", subject, "When are you open in December?", _now(), cc="orders@acme.test")
        await self._send(cast.BEN, both, "writes to two mailboxes of Acme at once: one entry")
        conversation = await self._agent.conversation(subject, "acme")
        await self._entry(conversation, "the entry in both accounts", lambda entry: set(entry.accounts) == {"acme-support", "acme-orders"})
        skis = letter(cast.ANN, "help@borealis.test", "Ski service", "Do you wax skis from other makers too?", _now())
        await self._send(cast.ANN, skis, "writes to another brand: Borealis sees only this")
        await self._agent.conversation("Ski service", "borealis")

    async def _a_mail_that_bounces(self) -> None:
        subject = "Invoice for last year"
        await self._send(
            cast.TOM, letter(cast.TOM, "orders@acme.test", subject, "Please send me the invoice once more.", _now()), "asks for an invoice"
        )
        conversation = await self._agent.conversation(subject, "acme")
        reply = await self._reply(conversation, "Hello Tom,\n\nhere is the link to your invoices: https://acme.test/invoices")

        def failed(entry: Entry) -> bool:
            return entry.message_id == reply.message_id and entry.state == "failed"

        await self._entry(conversation, "the bounce of Tom's answer", failed)
        self._tell("Mail server", "no such mailbox: Tom's answer comes back, the entry turns to “failed”")

    async def _an_automatic_reply(self) -> None:
        subject = "Boots for the winter"
        await self._send(cast.MIA, letter(cast.MIA, "support@acme.test", subject, _MIA_ASKS, _now()), "asks for advice on boots")
        conversation = await self._agent.conversation(subject, "acme")
        answer = await self._answer(conversation, cast.MIA, "Hello Mia,\n\nthe Ridge GTX is warm down to -20 °C.\n\nAcme Support")
        await self._send(cast.MIA, away_notice(cast.MIA, answer, _now()), "is away: an automatic reply, known as one")
        await self._entry(conversation, "the automatic reply", lambda entry: entry.hints.is_auto_reply)
        await self._agent.resolve(conversation.conversation_id)
        self._tell(cast.AGENT, f"resolves “{subject}”")

    async def _answer(self, conversation: Conversation, customer: Customer, text: str, *, answered: str | None = None) -> EmailMessage:
        """The agent answers; the answer as it reached the customer's mailbox."""
        await self._reply(conversation, text, answered=answered)
        return await self._arrived(customer)

    async def _reply(self, conversation: Conversation, text: str, *, answered: str | None = None) -> Entry:
        self._tell(cast.AGENT, f"answers “{conversation.subject}”")
        entry = await self._agent.reply(conversation.conversation_id, text, self._key(), answered=answered)
        await asyncio.sleep(self._pause)
        return entry

    async def _note(self, conversation: Conversation, text: str) -> None:
        await self._agent.note(conversation.conversation_id, text, self._key())
        self._tell(cast.AGENT, "writes an internal note")
        await asyncio.sleep(self._pause)

    async def _entry(self, conversation: Conversation, what: str, fits: Callable[[Entry], bool]) -> Entry:
        return await self._agent.entry(conversation.conversation_id, what, fits)

    async def _send(self, author: Customer, mail: EmailMessage, told: str) -> None:
        await asyncio.to_thread(_by_smtp, self._world.smtp_port, author, mail)
        self._tell(author.name, told)
        await asyncio.sleep(self._pause)

    async def _arrived(self, customer: Customer) -> EmailMessage:
        async with within(self._patience, f"the answer in {customer.name}'s mailbox"):
            delivered = await self._world.arrived[customer.address].get()
        self._tell(customer.name, "has the answer in the mailbox")
        return email.message_from_bytes(delivered.raw, policy=policy.SMTP)

    async def _chat(self, customer: Customer) -> None:
        for turn in range(_MOST_ANSWERS_A_CUSTOMER):
            delivered = await self._world.arrived[customer.address].get()
            received = email.message_from_bytes(delivered.raw, policy=policy.SMTP)
            self._tell(customer.name, f"has your answer: “{received['Subject']}”")
            await asyncio.sleep(self._pause * 2)
            await self._send(customer, answer_to(customer, received, _SMALL_TALK[turn % len(_SMALL_TALK)], _now()), "answers back")

    def _key(self) -> str:
        return f"demo-{next(self._keys)}"


def _now() -> datetime:
    return datetime.now(UTC)


def _by_smtp(port: int, author: Customer, mail: EmailMessage) -> None:
    recipients = [parseaddr(part)[1] for name in ("To", "Cc") for part in mail.get_all(name, [])]
    # A name of its own: without one smtplib asks the resolver, which offline takes its time.
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.test", timeout=30) as client:
        client.sendmail(author.address, recipients, mail.as_bytes(policy=policy.SMTP))


_ANN_ASKS = """Hello,

I ordered a tent ten days ago (order 4711) and it has not come yet. We leave on Friday, so I am getting a little nervous.

A picture of where it shall stand is attached.

Best wishes
Ann Lee
"""
_TO_ANN = """Hello Ann,

your tent left our house this morning: tracking AB123.

Acme Support
"""
_ANN_ANSWERS = "Thank you! Could it go to my husband's office instead? Ben will tell you the address."
_TO_ANN_AND_BEN = """Hello Ann, hello Ben,

done: the parcel goes to 12 Mill Lane, Riverside, and comes before noon.

Acme Support
"""
_ANN_IS_HAPPY = "It is here, and it is beautiful. Thank you both! One last thing: do the pegs hold in sand?"
_KENJI_ASKS = """こんにちは。

登山靴のサイズについて質問があります。普段は27cmを履いていますが、どのサイズがよいでしょうか。

田中健二
"""
_ELENA_ASKS = """Good morning,

the zip of my blue backpack broke on its first day out. I would like my money back, please.

Elena
"""
_MIA_ASKS = """Hello,

which boots would you take for a winter week at 2,000 metres?

Mia
"""
