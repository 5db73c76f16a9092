"""What an error of the MongoDB client asks for: wait and try again, tell the operator, or set the record aside.

The texts name the server and a code, never a key or a document: those hold what customers wrote.
"""

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.errors import ConfigurationError as ClientConfigurationError

from threadline_runtime.errors import ConfigurationError, PermanentError, ThreadlineError, TransientError

__all__ = ["DUPLICATE_KEY", "code_of", "mapped"]

DUPLICATE_KEY = 11000
_LOGIN = {18, 33}  # AuthenticationFailed, and the name of the mechanism is unknown
_RIGHTS = {13}  # Unauthorized
_INDEX = {67, 85, 86}  # CannotCreateIndex, IndexOptionsConflict, IndexKeySpecsConflict
_TOO_LARGE = {10334, 17419, 17420}
_RETRYABLE_LABELS = ("RetryableWriteError", "TransientTransactionError", "SystemOverloadedError")
# The server's own list of what passes by itself: elections, shutdowns, time limits, locks, moved chunks, a full disk.
_WAIT = {
    *(6, 7, 24, 43, 46, 50, 63, 64, 89, 91, 112, 133, 134, 150, 175, 189, 202, 225, 234, 262, 317, 365, 384),
    *(9001, 10107, 11600, 11602, 13388, 13435, 13436, 14031),
}


def code_of(error: PyMongoError) -> int | None:
    """The server's code for what went wrong; of a bulk, that of the first item that failed for another reason than being there already."""
    if isinstance(error, BulkWriteError):
        codes = [int(item["code"]) for item in (error.details or {}).get("writeErrors", ())]
        return next((code for code in codes if code != DUPLICATE_KEY), None)
    return error.code if isinstance(error, OperationFailure) else None


def mapped(error: Exception, where: str) -> ThreadlineError:
    """The error whose type is the reaction. `where` is the server's address without a password."""
    if isinstance(error, ClientConfigurationError):
        return ConfigurationError(f"THREADLINE_DATABASE__URL: {error}")
    if isinstance(error, (BSONError, UnicodeError, OverflowError)):
        return PermanentError(f"MongoDB at {where}: the record cannot be stored ({type(error).__name__})")
    if isinstance(error, (BulkWriteError, OperationFailure)):
        return _refused(error, where)
    if isinstance(error, ConnectionFailure) or (isinstance(error, PyMongoError) and error.timeout):
        return TransientError(f"MongoDB at {where} does not answer: {_short(error)}")
    if isinstance(error, InvalidOperation):
        return TransientError(f"MongoDB at {where}: the client is closed")
    return ThreadlineError(f"MongoDB at {where}: {type(error).__name__}")


def _refused(error: "BulkWriteError | OperationFailure", where: str) -> ThreadlineError:
    code = code_of(error)
    if code in _LOGIN:
        return ConfigurationError(
            f"MongoDB at {where} refuses the login: look at user, password and authSource in THREADLINE_DATABASE__URL"
        )
    if code in _RIGHTS:
        return ConfigurationError(f"MongoDB at {where}: the user lacks rights: grant it readWrite on the database")
    if code in _INDEX:
        return ConfigurationError(f"MongoDB at {where} has an index of ours in another shape: drop it and run migrate again")
    if code in _TOO_LARGE:
        return PermanentError(f"MongoDB at {where}: the document would be above 16 MiB")
    unsure = isinstance(error, BulkWriteError) and (error.details or {}).get("writeConcernErrors")
    passing = isinstance(error, (ExecutionTimeout, WTimeoutError)) or error.timeout or any(map(error.has_error_label, _RETRYABLE_LABELS))
    if unsure or passing or code in _WAIT:
        return TransientError(f"MongoDB at {where} is busy or changing its primary (code {code})")
    return ThreadlineError(f"MongoDB at {where} refused an operation (code {code})")


def _short(error: PyMongoError) -> str:
    """Host and reason, without the client's settings and picture of the cluster."""
    return str(error).partition(" (configured")[0].partition(", Timeout:")[0][:300]
