"""The store that the model runs on behaves as the real ones."""

import pytest
from notifier.testing.memory_store import MemoryDeliveryStore
from notifier.testing.store_suite import DeliveryStoreSuite


@pytest.fixture
def store() -> MemoryDeliveryStore:
    return MemoryDeliveryStore()


class TestMemoryDeliveryStore(DeliveryStoreSuite):
    """Everything the port promises."""
