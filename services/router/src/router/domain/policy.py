"""What the configuration says about brands and accounts, as the rules need it.

Not here: reading the configuration (`app`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

__all__ = ["Account", "BrandPolicy", "Policies"]


@dataclass(frozen=True, slots=True)
class BrandPolicy:
    """How a brand wants its conversations treated. `reopen_within` zero: a message after a resolve always opens a new one."""

    brand: str
    name: str = ""
    reopen_within: timedelta = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Account:
    """A configured account. `form`: a website's form mails here, and the customer stands in Reply-To."""

    account_id: str
    channel: str
    brand: str
    address: str | None = None
    display_name: str | None = None
    form: bool = False


@dataclass(frozen=True, slots=True)
class Policies:
    """All brands and accounts."""

    brands: Mapping[str, BrandPolicy] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)

    def brand(self, brand: str) -> BrandPolicy:
        """The policy of a brand; one that was taken out of the configuration keeps the defaults."""
        return self.brands.get(brand) or BrandPolicy(brand)

    def account(self, account_id: str | None) -> Account | None:
        """The account, None where the configuration no longer has it."""
        return self.accounts.get(account_id) if account_id is not None else None

    def mail_accounts(self) -> tuple[Account, ...]:
        """Accounts that sign reply addresses."""
        return tuple(a for a in self.accounts.values() if a.channel == "email" and a.address)
