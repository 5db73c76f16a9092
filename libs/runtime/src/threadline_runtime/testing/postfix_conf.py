"""The text of Postfix's configuration files for one private instance; nothing is written or started here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.ports import LOOPBACK

BOUNCING_DOMAIN = "bouncing.test"
"""Mail to this domain is accepted and then comes back with a real delivery status notification (5.1.1)."""

SIZE_LIMIT = 100 * 1024 * 1024

__all__ = ["BOUNCING_DOMAIN", "SIZE_LIMIT", "PostfixPorts", "main_cf", "master_cf", "recipient_map"]


@dataclass(frozen=True, slots=True)
class PostfixPorts:
    """Where one Postfix listens: `smtp` takes mail as the internet would; the others want a login, under TLS."""

    smtp: int
    submission: int
    submissions: int


def main_cf(folder: Path, lmtp_port: int, auth_port: int, certificates: Certificates) -> str:
    """`main.cf` of an instance that lives in `folder`, delivers by LMTP to Dovecot and relays nowhere."""
    return f"""\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
myhostname = mail.test
mydestination =
inet_interfaces = {LOOPBACK}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
local_header_rewrite_clients =
default_transport = error:5.7.1 this test server delivers to its own domains only
virtual_mailbox_domains = texthash:{folder}/domains
virtual_mailbox_maps = texthash:{folder}/recipients
virtual_transport = lmtp:inet:{LOOPBACK}:{lmtp_port}
recipient_delimiter = +
message_size_limit = {SIZE_LIMIT}
virtual_mailbox_limit = 0
mailbox_size_limit = 0
queue_minfree = 0
lmtp_destination_recipient_limit = 1
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
transport_retry_time = 1s
smtpd_tls_cert_file = {certificates.certificate}
smtpd_tls_key_file = {certificates.key}
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:{LOOPBACK}:{auth_port}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
"""


def master_cf(ports: PostfixPorts) -> str:
    """`master.cf`: three listeners and what delivery needs; no service is chrooted."""
    login = "-o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject"
    return f"""\
{LOOPBACK}:{ports.smtp} inet n - n - - smtpd
{LOOPBACK}:{ports.submission} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt {login}
{LOOPBACK}:{ports.submissions} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes {login}
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp flags=D
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def recipient_map(addresses: list[str]) -> str:
    """Who has a mailbox. Everybody at `BOUNCING_DOMAIN` is taken in, and refused only by the delivery."""
    return "\n".join(f"{address} mailbox" for address in [*addresses, f"@{BOUNCING_DOMAIN}"]) + "\n"
