"""A real cluster may stand in for the server of the tests, with a login."""

import pytest
from threadline_runtime.testing.mongodb import database_url


@pytest.mark.parametrize(
    ("server", "wanted"),
    [
        ("mongodb://127.0.0.1:27017", "mongodb://127.0.0.1:27017/a"),
        ("mongodb://h1,h2/?replicaSet=rs0", "mongodb://h1,h2/a?replicaSet=rs0"),
        ("mongodb://u:p@h/", "mongodb://u:p@h/a?authSource=admin"),
        ("mongodb://u:p@h/people?tls=true", "mongodb://u:p@h/a?tls=true&authSource=people"),
        ("mongodb://u:p@h/people?authSource=other", "mongodb://u:p@h/a?authSource=other"),
    ],
)
def test_the_database_is_named_and_the_login_kept(server: str, wanted: str) -> None:
    """Issue 5: THREADLINE_TEST_MONGODB_URI names any real cluster."""
    assert database_url(server, "a") == wanted
