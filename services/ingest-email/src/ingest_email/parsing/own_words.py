"""Finds the failed recipients in bounces that are plain text: qmail, Exim, sendmail, Postfix, Exchange, Gmail.

A sound subset: an address counts only in the form that server writes, below its own opening words. Not here: DSNs.
"""

import re

from ingest_email.parsing.addresses import usable

_OPENINGS = re.compile(
    r"This is the qmail-send program|I'm afraid I wasn't able to deliver|This message was created automatically by mail delivery software"
    r"|A message that you sent could not be delivered|The following addresses had permanent fatal errors"
    r"|The following address(?:es)? failed|This is the (?:Postfix program|mail system) at host|Delivery has failed to these recipients"
    r"|Your message did not reach some or all of the intended recipients|Delivery to the following recipients? failed"
    r"|Your message wasn't delivered to|Message to .{1,200} could not be delivered|Undelivered Mail Returned to Sender"
    r"|Your message to .{1,200} couldn't be delivered|wurde nicht zugestellt|konnte nicht zugestellt werden"
    r"|n'a pas pu être remis|no se pudo entregar|La remise a échoué"
)
# <bob@client.example>: reason ...   and   bob@client.example alone on a line, the reason below
_BRACKETED = re.compile(r"^[ \t]{0,8}<([^<>\s@]{1,64}@[^<>\s]{1,255})>(?:[ \t]*\(.{0,200}\))?:?[ \t]*([^\n]{0,400})", re.MULTILINE)
_ALONE = re.compile(r"^[ \t]{0,8}(?:mailto:)?([^<>\s@:]{1,64}@[^<>\s:]{1,255}):?[ \t]*(?:<mailto:[^>\n]{1,320}>)?[ \t]*\r?$", re.MULTILINE)
_TO = re.compile(
    r"(?:message (?:to|wasn't delivered to)|failed to these recipients[^\n]{0,80}\n+)[ \t]*<?([^<>\s@]{1,64}@[^<>\s]{1,255}[^<>\s.,;:])>?",
    re.IGNORECASE,
)
_WINDOW_CHARS = 4_000
_MAX_REASON_LINES = 6


def failed_recipients(text: str) -> list[tuple[str, str]]:
    """Addresses with the server's reason, each once; empty where the text is not such a bounce."""
    opening = _OPENINGS.search(text[: 16 * _WINDOW_CHARS])
    if opening is None:
        return []
    window = text[opening.start() : opening.start() + _WINDOW_CHARS]
    window = window.split("--- Below this line is a copy", 1)[0].split("------ This is a copy", 1)[0]
    found: dict[str, str] = {}
    for pattern in (_BRACKETED, _ALONE, _TO):
        for match in pattern.finditer(window):
            address = usable(match[1])
            if address is not None:
                found.setdefault(address, _reason(window, match))
        if found:
            break
    return list(found.items())


def _reason(window: str, match: re.Match[str]) -> str:
    first = match[2].strip() if match.re.groups > 1 else ""
    following = window[match.end() :].lstrip("\n").split("\n\n", 1)[0].split("\n")[:_MAX_REASON_LINES]
    return " ".join([first, *(line.strip() for line in following)]).strip()
