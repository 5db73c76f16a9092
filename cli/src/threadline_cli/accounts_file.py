"""What a verb says about the accounts file beside its mistakes, which are errors of `threadline_runtime.configuration`."""

from pathlib import Path

from threadline_runtime.configuration.configuration import Configuration

from threadline_cli.output import notes

__all__ = ["note_missing_accounts"]


def note_missing_accounts(configuration: Configuration, file: Path) -> None:
    """Say that there are none. No mistake, but whoever emptied the file by accident should not have to guess."""
    if not configuration.accounts:
        notes().print(f"{file} names no accounts: no mail is taken in or sent", style="yellow", soft_wrap=True, markup=False)
