"""What holds of the cache on one server holds on a cluster."""

from tests.services.test_cache import *  # noqa: F403
