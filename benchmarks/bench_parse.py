"""The mail row of the speed table: our parser against the standard library's own reading of the same corpus.

Floor: ``email.message_from_bytes`` with ``policy.compat32`` and a walk that decodes every text part. Ours: ``parse_mail``,
which also finds files, hashes them, splits quotes and so on. Interleaved, medians, only ratios are compared.
Not here: the way through worker processes to the bus (the standalone row).
"""
# ruff: noqa: E501 - tables are printed by one line each

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from email import message_from_bytes, policy

from corpus_mail import SEED, corpus, facts
from ingest_email.parsing import ParseContext, parse_mail

CONTEXT = ParseContext(trusted_authserv_id="mx.acme.example")


def floor(raw: bytes) -> None:
    """What a bare program would do."""
    for part in message_from_bytes(raw, policy=policy.compat32).walk():
        if part.get_content_maintype() != "text":
            continue
        data = part.get_payload(decode=True)
        if isinstance(data, bytes):
            try:
                data.decode(part.get_content_charset("utf-8"), "replace")
            except LookupError:
                data.decode("latin-1")


def ours(raw: bytes) -> None:
    """The parser as the service calls it."""
    parse_mail(raw, context=CONTEXT)


def seconds(read: Callable[[bytes], None], mails: list[bytes]) -> float:
    """The time of one pass over all mails."""
    started = time.perf_counter()
    for raw in mails:
        read(raw)
    return time.perf_counter() - started


def measure(mails: list[bytes], rounds: int) -> dict[str, float]:
    """Medians of interleaved passes; ``ratio`` above 1 is faster than the floor."""
    seconds(ours, mails[:50])
    pairs = [(seconds(floor, mails), seconds(ours, mails)) for _ in range(rounds)]
    return {
        "mails": len(mails),
        "floor_per_second": round(len(mails) / statistics.median(one for one, _ in pairs), 1),
        "ours_per_second": round(len(mails) / statistics.median(one for _, one in pairs), 1),
        "ratio": round(statistics.median(one / other for one, other in pairs), 3),
    }


def main() -> None:
    """Prints the whole corpus and each kind of mail."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=1_000)
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    chosen = arguments.parse_args()
    made = list(corpus(chosen.count, chosen.seed))
    small = [raw for _, raw in made if len(raw) < 256 * 1024]
    results = {
        "all": measure([raw for _, raw in made], chosen.rounds),
        "below_256_kib": measure(small, chosen.rounds),
        **{kind: measure([raw for name, raw in made if name == kind], chosen.rounds) for kind in sorted({name for name, _ in made})},
    }
    if chosen.json:
        print(json.dumps({"path": "mail parse", "corpus": asdict(facts(made)), "results": results}))
        return
    print(facts(made))
    for kind, one in results.items():
        print(
            f"{kind:15} {one['mails']:6} mails  floor {one['floor_per_second']:9}/s  ours {one['ours_per_second']:9}/s  ratio {one['ratio']}"
        )


if __name__ == "__main__":
    main()
