"""A worker that hostile mail took over cannot make the pool run anything."""

import io
import os
import pickle

import pytest
from ingest_email.parsing import ParseContext, parse_mail
from ingest_email.parsing.wire import HEAD, Answer, Request, Verdict, pack, read_requests, unpack_answer


class _Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_a_mail_survives_the_way() -> None:
    mail = parse_mail(b"From: a@b.example\nDate: Mon, 23 Nov 2026 10:00:00 +0100\n\nx", context=ParseContext())
    frame = pack(Answer(7, Verdict.PARSED, mail))
    assert HEAD.unpack(frame[: HEAD.size]) == (len(frame) - HEAD.size,)
    assert unpack_answer(frame[HEAD.size :]) == Answer(7, Verdict.PARSED, mail)


def test_requests_come_in_batches_until_the_pool_is_gone() -> None:
    request = Request(1, b"raw", None, "folder", 10, ParseContext("mx"))
    frame = pack((request, request))
    stream = io.BytesIO(frame + frame[:-3])
    assert read_requests(stream) == (request, request)
    assert read_requests(stream) is None
    assert read_requests(io.BytesIO()) is None


@pytest.mark.parametrize("value", [_Command(), Answer(1, Verdict.PARSED, _Command())])  # type: ignore[arg-type]
def test_anything_but_a_mail_is_refused(value: object) -> None:
    with pytest.raises(pickle.UnpicklingError):
        unpack_answer(pickle.dumps(value))


def test_a_bare_value_is_no_answer() -> None:
    with pytest.raises(pickle.UnpicklingError):
        unpack_answer(pickle.dumps("words"))
