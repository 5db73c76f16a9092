"""P4: only the router signs reply addresses, Message-IDs and envelope senders, and knows its own whatever became of their case."""

from hypothesis import given, settings
from hypothesis import strategies as st
from router.domain.policy import Account
from router.domain.threading import gather
from router.domain.tokens import MailSigner
from router.testing.desk import mail
from router.testing.stand_ins import HmacSigner
from threadline_events import ids
from threadline_runtime.signing import SigningKeys

ACME = Account("support-mail", "email", "acme", "support@acme.test")
OTHER = Account("help", "email", "other", "help@other.test")
SIGNER = MailSigner(SigningKeys([b"n" * 32, b"o" * 32]), [ACME, OTHER])
STRANGER = MailSigner(SigningKeys([b"x" * 32]), [ACME, OTHER])
STRANDS = st.binary(max_size=40).map(lambda raw: ids.strand_id(raw.hex()))
MESSAGES = st.binary(max_size=40).map(lambda raw: ids.command_entry_id(raw.hex()))


@settings(deadline=None)
@given(STRANDS, st.booleans())
def test_a_reply_address_comes_back_as_what_was_signed(strand, shouted):
    address = SIGNER.reply_address(ACME, strand)
    read = SIGNER.read_reply(address.upper() if shouted else address)

    assert read is not None
    assert (read.strand_id, read.brand, read.account_id) == (strand, "acme", "support-mail")
    assert len(address.partition("@")[0]) <= 64
    assert STRANGER.read_reply(address) is None


@settings(deadline=None)
@given(MESSAGES, st.integers(1, 9999))
def test_our_message_id_and_envelope_sender_name_message_and_attempt(message, attempt):
    name, envelope = SIGNER.own_message_id(ACME, message, attempt), SIGNER.envelope_sender(ACME, message, attempt)

    for read in (SIGNER.read_message_id(f"<{name}>"), SIGNER.read_message_id(name.upper()), SIGNER.read_envelope(envelope)):
        assert read is not None
        assert (read.message_id, read.attempt, read.brand) == (message, attempt, "acme")
    assert STRANGER.read_message_id(name) is None
    assert STRANGER.read_envelope(envelope) is None


@settings(deadline=None)
@given(STRANDS, st.integers(0, 41), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_one_changed_character_is_no_signature(strand, place, letter):
    address = SIGNER.reply_address(ACME, strand)
    start = address.index("+r") + 2
    changed = address[: start + place] + letter + address[start + place + 1 :]

    assert changed == address or SIGNER.read_reply(changed) is None


def test_an_older_key_still_verifies():
    old = MailSigner(SigningKeys([b"o" * 32]), [ACME])
    strand = ids.strand_id("m_1")

    assert SIGNER.read_reply(old.reply_address(ACME, strand)) is not None
    assert old.read_reply(SIGNER.reply_address(ACME, strand)) is None


def test_another_brands_token_is_known_as_the_other_brands():
    """P7: brands are kept apart, and explain can say so."""
    read = SIGNER.read_reply(SIGNER.reply_address(OTHER, ids.strand_id("m_1")))

    assert read is not None
    assert read.brand == "other"


def test_a_kind_does_not_pass_for_another():
    message = ids.command_entry_id("k_1")

    assert SIGNER.read_reply(SIGNER.envelope_sender(ACME, message, 1)) is None
    assert SIGNER.read_envelope(SIGNER.reply_address(ACME, ids.strand_id("m_1"))) is None


def test_an_address_that_would_be_too_long_stays_plain():
    long = Account("long", "email", "acme", f"{'a' * 40}@acme.test")

    assert MailSigner(SigningKeys([b"n" * 32]), [long]).reply_address(long, ids.strand_id("m_1")) == long.address


class Counting(HmacSigner):
    """Counts what is verified."""

    def __init__(self) -> None:
        super().__init__()
        self.verified = 0

    def verify(self, message: bytes, signature: str) -> bool:
        self.verified += 1
        return super().verify(message, signature)


def test_a_mail_full_of_forged_tokens_costs_a_few_looks():
    """Design 12: time limits everywhere; each signature is tried for every account and key, and all wait for it."""
    counting = Counting()
    signer = MailSigner(counting, [ACME])
    token, own = "r" + "a" * 26 + "b" * 16, f"tl1.{'a' * 26}.1.{'b' * 16}@acme.test"
    forged = [f"n{n}+{token}@acme.test" for n in range(200)]
    gather(
        mail(
            "m1",
            reply_tokens=(token * 9_000, *forged),
            references=[f"{n}{own}"[1:] for n in range(10)] + [own.replace(".1.", f".{n}.") for n in range(200)],
        ),
        signer,
    )
    assert counting.verified < 60


def test_a_signed_address_is_found_among_many_recipients():
    signed = SIGNER.reply_address(ACME, "c_" + "a" * 26)
    found = gather(mail("m1", reply_tokens=(*(f"someone{n}@else.test" for n in range(150)), signed)), SIGNER)
    assert [one.strand_id for one in found.reply_tokens] == ["c_" + "a" * 26]
