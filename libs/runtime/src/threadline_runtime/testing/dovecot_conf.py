"""The text of Dovecot's configuration files for one private instance; nothing is written or started here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.ports import LOOPBACK

MAIL_USER = "mail"
OAUTH_KEY = "oauth-keys"

__all__ = ["MAIL_USER", "OAUTH_KEY", "DovecotPorts", "dovecot_conf", "oauth_conf"]


@dataclass(frozen=True, slots=True)
class DovecotPorts:
    """Where one Dovecot listens: IMAP (plain and STARTTLS), IMAP under TLS, LMTP, and SASL for the SMTP server."""

    imap: int
    imaps: int
    lmtp: int
    auth: int


def dovecot_conf(folder: Path, ports: DovecotPorts, certificates: Certificates) -> str:
    """`dovecot.conf` of an instance that lives in `folder` and touches nothing outside it."""
    return f"""\
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = {folder.name}
log_path = {folder}/dovecot.log
auth_failure_delay = 0
protocols = imap lmtp
listen = {LOOPBACK}
mail_location = maildir:~/Maildir
mail_uid = {MAIL_USER}
mail_gid = {MAIL_USER}
first_valid_uid = 1
mail_max_userip_connections = 200
maildir_stat_dirs = yes
default_internal_user = dovecot
default_login_user = dovenull
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
recipient_delimiter = +
lmtp_hdr_delivery_address = original
lmtp_save_to_detail_mailbox = no
postmaster_address = postmaster@mail.test
hostname = mail.test
ssl = yes
ssl_cert = <{certificates.certificate}
ssl_key = <{certificates.key}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  inet_listener imap {{
    port = {ports.imap}
  }}
  inet_listener imaps {{
    port = {ports.imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 200
}}
service lmtp {{
  inet_listener lmtp {{
    address = {LOOPBACK}
    port = {ports.lmtp}
  }}
}}
service auth {{
  inet_listener sasl {{
    address = {LOOPBACK}
    port = {ports.auth}
  }}
}}
# Without its penalty for failed logins a test of a wrong password would slow the tests after it.
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""


def oauth_conf(folder: Path) -> str:
    """`oauth2.conf`: tokens are JSON Web Tokens that Dovecot checks itself, so no token server is needed."""
    return f"""\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/{OAUTH_KEY}/
username_attribute = email
"""
