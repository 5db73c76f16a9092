"""From a configured account to what its hosts run: one feed a folder.

Not here: running them (`app`) and the parts they share.
"""

from collections.abc import Callable
from datetime import datetime

from threadline_connectors.poller_host import Feed
from threadline_connectors.pollers import Source
from threadline_connectors.stamping import Stamp
from threadline_events.inbound import Connector

from ingest_email.connectors.email import EmailConnector
from ingest_email.imap.folder_poller import FolderPoller
from ingest_email.imap.mail import MailboxMail
from ingest_email.imap.spool import Spool
from ingest_email.parsing import ParseContext, ParserPool
from ingest_email.reading import MailReader
from ingest_email.settings import MailAccount

__all__ = ["mail_feeds", "stamp_of"]


def mail_feeds(account: MailAccount, *, pool: ParserPool, spool: Spool, now: Callable[[], datetime]) -> tuple[Feed[MailboxMail], ...]:
    """The feeds of one account."""
    connector = EmailConnector(follow_reply_to=account.form)
    reader = MailReader(connector, pool, ParseContext(trusted_authserv_id=account.trusted_authserv_id))
    return tuple(
        Feed(Source(account.id, folder), FolderPoller(account.imap, folder, spool=spool, now=now), reader, stamp_of(account, connector))
        for folder in account.imap.all_folders
    )


def stamp_of(account: MailAccount, connector: EmailConnector) -> Stamp:
    """What all intakes of the account share."""
    return Stamp(
        channel=connector.name,
        account_id=account.id,
        brand=account.brand,
        origin="poll",
        received_at=None,
        intake_id=None,
        connector=Connector(name=connector.name, version=connector.version),
        raw=None,
    )
