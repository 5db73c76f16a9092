"""The bounds within which a mail is read.

Not here: time and memory of the process that reads it (workers.py).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one mail may cost. A mail above ``total_bytes`` is refused; everything else is cut and noted as a defect."""

    total_bytes: int = 150 * 1024 * 1024
    parts: int = 500
    depth: int = 20
    header_block_bytes: int = 8 * 1024 * 1024
    header_fields: int = 2_000
    header_value_bytes: int = 64 * 1024
    addresses: int = 1_000
    references: int = 1_000
    text_bytes: int = 8 * 1024 * 1024
    html_as_text_bytes: int = 2 * 1024 * 1024
    bounced_recipients: int = 200


DEFAULT_LIMITS = Limits()
MAX_ADDRESS_CHARS = 320
MAX_NAME_CHARS = 256
MAX_SUBJECT_CHARS = 4_000
MAX_ID_CHARS = 998
MAX_FILE_NAME_BYTES = 200
MAX_REASON_CHARS = 500
