"""A folder for mails too large for memory, of one process; emptied when the process starts.

Not here: keeping them; a published mail's file moves into the blobs.
"""

import secrets
import shutil
from pathlib import Path

__all__ = ["Spool"]


class Spool:
    """Files in `folder`, which nobody else may use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder and empty it of what a crash left: those mails are still in their mailboxes."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)

    def new_file(self) -> Path:
        """A path that is not in use."""
        return self.folder / secrets.token_hex(12)
