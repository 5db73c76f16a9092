"""Has pytest explain the failing assertions of the suites that the library ships."""

import pytest

pytest.register_assert_rewrite("threadline_runtime.testing.bus", "threadline_runtime.testing.lease_suite")
