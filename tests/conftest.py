"""What all tests share: how hard Hypothesis tries (HYPOTHESIS_PROFILE=quick, the default, or nightly), databases."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import (  # noqa: F401  fixtures
    fast_mariadb_server,
    fast_postgresql_server,
    mariadb_server,
    postgresql_server,
)

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")

# A shared machine is slow at times: a deadline for one example would fail by chance.
settings.register_profile("quick", max_examples=100, deadline=None, print_blob=True)
settings.register_profile(
    "nightly",
    max_examples=100_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(PROFILE)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if PROFILE == "nightly":
        config.option.timeout = 0  # a hundred thousand examples take their time
