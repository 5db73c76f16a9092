"""Ids, identities, keys and ranks: the contract's small exact parts."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadline_events import ids
from threadline_events.model import cut_to_millisecond, spell_time

GOLDEN = {
    "message": "m_qq4vo4ofde6hkmv7vimxgsjzei",
    "mail": "m_fbjdrbultv42vqy7ghzuuqf6t4",
    "raw mail": "m_akbcx2ew5rj4y3k7l5evpie62u",
    "contact": "p_knbyplwi6ncbtqspxwx64el2tq",
    "strand": "c_5ugr6faq6egnvi6aafntiectqy",
    "event": "e_tektamp2svfrxykjha5td3pggm",
    "polled intake": "i_5ovuhxdzjus4qryivbriimf5z4",
    "command": "k_vh7fjnswr2jf7t6ningosgm4uy",
    "command entry": "m_ba4tqngzamm5g5othx4jw4v4hq",
    "link": "l_4zz5gj7zojevsl2esn6zekgzjq",
}

TEXTS = st.text(min_size=0, max_size=30)


def test_an_id_is_its_prefix_and_26_base32_characters():
    made = ids.message_id("acme", "telegram", "bot", "4711/12")

    assert made.startswith("m_")
    assert len(made) == 28
    assert set(made[2:]) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_ids_never_change():
    """A changed id would make every redelivery a new message (P2)."""
    assert {
        "message": ids.message_id("acme", "telegram", "bot", "4711/12"),
        "mail": ids.mail_message_id("acme", "a@b.example", ids.content_key("ann@b.example", "d", "s", [b"x"])),
        "raw mail": ids.raw_mail_message_id("acme", "support", b"raw"),
        "contact": ids.contact_id("acme", "email:ann@b.example"),
        "strand": ids.strand_id("m_x"),
        "event": ids.event_id("email", "support", "m_x", "message.received"),
        "polled intake": ids.polled_intake_id("support", "INBOX", 17, 42),
        "command": ids.command_id("api", "key", "idem"),
        "command entry": ids.command_entry_id("k_x"),
        "link": ids.link_id("acme", "email:a@b.example", "email:c@d.example"),
    } == GOLDEN


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4))
def test_two_different_lists_of_parts_are_never_one_id(one, other):
    """Length prefixes keep ("ab", "c") and ("a", "bc") apart (P2)."""
    same = ids.polled_intake_id(*one) == ids.polled_intake_id(*other)

    assert same == (one == other)


def test_the_same_mail_in_two_mailboxes_of_a_brand_is_one_and_in_two_brands_two():
    content = ids.content_key("ann@b.example", "Mon", "Hi", [b"text", b"<p>"])

    assert ids.mail_message_id("acme", "1@b", content) == ids.mail_message_id("acme", "1@b", content)
    assert ids.mail_message_id("acme", "1@b", content) != ids.mail_message_id("other", "1@b", content)


def test_a_reused_message_id_with_other_content_is_another_mail():
    one = ids.content_key("ann@b.example", "Mon", "Hi", [b"text"])
    other = ids.content_key("ann@b.example", "Mon", "Hi", [b"other text"])

    assert ids.mail_message_id("acme", "1@b", one) != ids.mail_message_id("acme", "1@b", other)


def test_a_link_is_named_alike_from_both_ends():
    assert ids.link_id("acme", "email:a@b.example", "sms:+4930123456") == ids.link_id("acme", "sms:+4930123456", "email:a@b.example")


def test_a_random_intake_id_wants_16_bytes():
    assert len(ids.random_intake_id(bytes(range(16)))) == 28
    with pytest.raises(ValueError, match="16"):
        ids.random_intake_id(b"short")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-23T09:00:00"])
def test_times_beyond_all_calendars_and_without_a_zone_are_not_valid(text: str) -> None:
    """P8: a date that no calendar holds is a bad value, not a crash."""
    with pytest.raises(ValueError, match="a time "):
        cut_to_millisecond(datetime.fromisoformat(text))


def test_a_time_is_cut_and_spelled_in_utc() -> None:
    moment = cut_to_millisecond(datetime.fromisoformat("2026-11-23T10:00:00.123987+01:00"))
    assert (moment.tzinfo, spell_time(moment)) == (UTC, "2026-11-23T09:00:00.123Z")
    assert spell_time(datetime.fromisoformat("2026-11-23T10:00:00.123987+01:00")) == "2026-11-23T09:00:00.123Z"
