"""Each error of the MongoDB client has a type of ours that says what to do, and a text without anybody's words."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidURI,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
from threadline_runtime.errors import ConfigurationError, PermanentError, ThreadlineError, TransientError
from threadline_runtime.mongo_errors import mapped

_WORDS = "where is my order, ann@client.test"


def _bulk(*codes: int, concern: bool = False) -> BulkWriteError:
    errors = [{"index": n, "code": code, "errmsg": _WORDS, "op": {"text": _WORDS}} for n, code in enumerate(codes)]
    return BulkWriteError({"writeErrors": errors, "writeConcernErrors": [{"code": 64, "errmsg": "waiting"}] if concern else []})


def _labelled(label: str) -> OperationFailure:
    error = OperationFailure(_WORDS, 1)
    error._add_error_label(label)
    return error


@pytest.mark.parametrize(
    ("error", "reaction"),
    [
        (AutoReconnect("connection closed"), TransientError),
        (NetworkTimeout("timed out"), TransientError),
        (NotPrimaryError("not primary"), TransientError),
        (ServerSelectionTimeoutError("127.0.0.1:1: refused"), TransientError),
        (ExecutionTimeout(_WORDS, 50), TransientError),
        (WTimeoutError(_WORDS, 64), TransientError),
        (OperationFailure(_WORDS, 112), TransientError),
        (OperationFailure(_WORDS, 14031), TransientError),
        (_labelled("RetryableWriteError"), TransientError),
        (_bulk(11000, 112), TransientError),
        (_bulk(11000, concern=True), TransientError),
        (OperationFailure(_WORDS, 18), ConfigurationError),
        (OperationFailure(_WORDS, 13), ConfigurationError),
        (OperationFailure(_WORDS, 85), ConfigurationError),
        (InvalidURI("bad"), ConfigurationError),
        (DocumentTooLarge(_WORDS), PermanentError),
        (_bulk(17419), PermanentError),
        (UnicodeEncodeError("utf-8", _WORDS, 0, 1, "surrogates"), PermanentError),
        (OverflowError(_WORDS), PermanentError),
        (OperationFailure(_WORDS, 2), ThreadlineError),
        (PyMongoError(_WORDS), ThreadlineError),
    ],
)
def test_the_type_is_the_reaction(error: Exception, reaction: type[ThreadlineError]) -> None:
    """P8: a fault waits, a record that can never be stored is set aside, what nobody knows is tried alone."""
    found = mapped(error, "db.acme.test:27017")
    assert type(found) is reaction
    assert "order" not in str(found)
