"""Who takes part in the demo, and the accounts file that lets Threadline read and send their mail. Data only."""

from dataclasses import dataclass
from pathlib import Path

import yaml

__all__ = [
    "ACCOUNTS",
    "AGENT",
    "ANN",
    "BEN",
    "CUSTOMERS",
    "ELENA",
    "KENJI",
    "PASSWORDS",
    "TOM",
    "Account",
    "Customer",
    "accounts_yaml",
    "write_accounts",
]


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who writes; without a `mailbox` what we send there bounces."""

    name: str
    address: str
    mailbox: bool = True


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox of a brand."""

    account_id: str
    brand: str
    address: str
    display_name: str


AGENT = "Sam Rivera"
ANN = Customer("Ann Lee", "ann.lee@client.test")
BEN = Customer("Ben Lee", "ben@lee-family.test")
KENJI = Customer("田中 健二", "kenji@tanaka.test")
ELENA = Customer("Elena Rossi", "elena@rossi.test")
MIA = Customer("Mia Sørensen", "mia@soerensen.test")
TOM = Customer("Tom Ward", "tom@closed-down.test", mailbox=False)
CUSTOMERS = (ANN, BEN, KENJI, ELENA, MIA, TOM)

MAIL_HOST = "mail.demo.test"
BRANDS = {"acme": "Acme Outdoor", "borealis": "Borealis Skis"}
ACCOUNTS = (
    Account("acme-support", "acme", "support@acme.test", "Acme Support"),
    Account("acme-orders", "acme", "orders@acme.test", "Acme Orders"),
    Account("borealis-help", "borealis", "help@borealis.test", "Borealis Help"),
)
_PASSWORD = "only-for-the-demo"  # noqa: S105 - a mailbox that lives as long as the demo
PASSWORDS = {each.address: _PASSWORD for each in ACCOUNTS} | {each.address: _PASSWORD for each in CUSTOMERS if each.mailbox}


def accounts_yaml(*, imap_port: int, smtp_port: int, password_file: str) -> str:
    """The accounts file of the demo; the password stands in a file beside it, as it would in a real one."""
    accounts = [
        {
            "id": each.account_id,
            "channel": "email",
            "brand": each.brand,
            "address": each.address,
            "display_name": each.display_name,
            "trusted_authserv_id": MAIL_HOST,
            "imap": _server(imap_port, each, password_file) | {"folder": "INBOX", "start_at": "all"},
            "smtp": _server(smtp_port, each, password_file),
        }
        for each in ACCOUNTS
    ]
    brands = {brand: {"name": name} for brand, name in BRANDS.items()}
    return yaml.safe_dump({"brands": brands, "accounts": accounts}, sort_keys=False, allow_unicode=True)


def _server(port: int, account: Account, password_file: str) -> dict[str, str | int]:
    return {"host": "127.0.0.1", "port": port, "tls": "none", "username": account.address, "password": f"file:{password_file}"}


def write_accounts(folder: Path, *, imap_port: int, smtp_port: int) -> Path:
    """Write the accounts file, and the password of every demo mailbox where it looks for it."""
    password, accounts = folder / "password", folder / "threadline.yaml"
    password.write_text(_PASSWORD + "\n", encoding="utf-8")
    accounts.write_text(accounts_yaml(imap_port=imap_port, smtp_port=smtp_port, password_file=str(password)), encoding="utf-8")
    return accounts
