"""Canonical identities: one spelling a person's address, and two persons never one (P7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadline_events.identity import IdentityError, canonical_identity, channel_of, email_identity, mail_address_of


@pytest.mark.parametrize(
    ("address", "identity"),
    [
        ("Ann.Lee@Customer.Example", "email:ann.lee@customer.example"),
        ("ann+orders@customer.example", "email:ann+orders@customer.example"),
        ("ann@bücher.example", "email:ann@xn--bcher-kva.example"),
        ("ann@straße.example", "email:ann@xn--strae-oqa.example"),
        ("ann@strasse.example", "email:ann@strasse.example"),
        ("jörg@customer.example", "email:jörg@customer.example"),
        ("ann@customer.example.", "email:ann@customer.example"),
    ],
)
def test_a_mail_address_has_one_spelling(address, identity):
    assert email_identity(address) == identity


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@b.example",
        "ann@",
        "a b@c.example",
        "a@b@c.example",
        "ann@b_.-x..example",
        "a\r\nb@c.example",
        "<a@b.example>",
        "x@" + "a" * 600,
    ],
)
def test_what_names_nobody_is_an_error(address):
    with pytest.raises(IdentityError):
        email_identity(address)


@given(st.text(max_size=60))
def test_any_text_is_an_identity_or_an_identity_error_and_canonical_is_stable(text):
    try:
        identity = email_identity(text)
    except IdentityError:
        return

    assert email_identity(identity.removeprefix("email:")) == identity
    assert not any(c.isspace() or ord(c) < 32 for c in identity)


@pytest.mark.parametrize(
    ("channel", "value", "identity"),
    [
        ("whatsapp", "+491701234567", "whatsapp:+491701234567"),
        ("slack", "T024/U123", "slack:T024/U123"),
        ("mastodon", "@Ann@Social.Example", "mastodon:ann@social.example"),
        ("webchat", "site/visitor-9", "webchat:site/visitor-9"),
    ],
)
def test_other_channels(channel, value, identity):
    assert canonical_identity(channel, value) == identity


@pytest.mark.parametrize(
    ("channel", "value"), [("sms", "0170 1234567"), ("sms", "01701234567"), ("mastodon", "ann"), ("slack", " "), ("line", "a b")]
)
def test_other_channels_refuse(channel, value):
    with pytest.raises(IdentityError):
        canonical_identity(channel, value)


def test_the_parts_of_an_identity():
    assert channel_of("email:ann@b.example") == "email"
    assert mail_address_of("email:ann@b.example") == "ann@b.example"
    assert mail_address_of("sms:+491701234567") is None
