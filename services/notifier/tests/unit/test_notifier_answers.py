"""What an SMTP answer means: the table of channels.md 2.10."""

from datetime import timedelta

import pytest
from notifier.mail.answers import Meaning, Phase, greylisting_wait, meaning_of, spell_code


@pytest.mark.parametrize(
    ("code", "text", "phase", "meaning"),
    [
        (421, "4.7.0 try later", Phase.ENVELOPE, Meaning.ACCOUNT_BUSY),
        (432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", Phase.DATA, Meaning.ACCOUNT_BUSY),
        (451, "4.7.500 Server busy", Phase.ENVELOPE, Meaning.ACCOUNT_BUSY),
        (452, "4.5.3 too many recipients", Phase.ENVELOPE, Meaning.ACCOUNT_BUSY),
        (454, "4.7.0 temporary authentication failure", Phase.LOGIN, Meaning.ACCOUNT_BUSY),
        (554, "no SMTP service here", Phase.CONNECT, Meaning.ACCOUNT_BUSY),
        (-1, "rubbish", Phase.ENVELOPE, Meaning.ACCOUNT_BUSY),
        (450, "4.7.1 greylisted, see http://postgrey", Phase.ENVELOPE, Meaning.GREYLISTED),
        (451, "4.7.1 try again in 5 minutes", Phase.ENVELOPE, Meaning.GREYLISTED),
        (450, "Greylisting in action", Phase.ENVELOPE, Meaning.GREYLISTED),
        (450, "4.2.0 mailbox busy", Phase.ENVELOPE, Meaning.RETRY),
        (451, "4.3.0 local error", Phase.DATA, Meaning.RETRY),
        (452, "4.3.1 insufficient storage", Phase.DATA, Meaning.RETRY),
        (552, "5.2.2 mailbox full", Phase.ENVELOPE, Meaning.RETRY),
        (530, "5.7.0 authentication required", Phase.ENVELOPE, Meaning.AUTH),
        (535, "5.7.8 bad credentials", Phase.LOGIN, Meaning.AUTH),
        (550, "5.7.30 basic authentication is not supported", Phase.LOGIN, Meaning.AUTH),
        (534, "5.7.9 application-specific password required", Phase.LOGIN, Meaning.AUTH),
        (500, "5.5.2 syntax", Phase.ENVELOPE, Meaning.PERMANENT),
        (550, "5.1.1 no such user", Phase.ENVELOPE, Meaning.PERMANENT),
        (552, "5.3.4 message too big", Phase.DATA, Meaning.PERMANENT),
        (554, "5.7.1 spam", Phase.DATA, Meaning.PERMANENT),
        (554, "5.2.252 SendAsDenied", Phase.DATA, Meaning.PERMANENT),
    ],
)
def test_meaning(code: int, text: str, phase: Phase, meaning: Meaning) -> None:
    """Each answer has one reaction."""
    assert meaning_of(code, text, phase) is meaning


def test_the_code_shows_no_words_of_the_server() -> None:
    """An answer can repeat addresses; only its numbers are stored."""
    assert spell_code(550, "5.1.1 <ann@client.test> unknown") == "550 5.1.1"
    assert spell_code(550, "<ann@client.test> unknown") == "550"


def test_greylisting_comes_back_after_minutes_then_hours() -> None:
    """First after five to fifteen minutes, then ever later."""
    assert timedelta(minutes=5) <= greylisting_wait(1) <= timedelta(minutes=15)
    assert [greylisting_wait(number) // timedelta(minutes=1) for number in (2, 3, 4, 5, 9)] == [30, 60, 120, 240, 240]
