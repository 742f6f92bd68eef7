import pytest

from tests.faults import jobs
from tests.tiny_run import shared


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> dict[str, object]:
    """The outcome of `jobs.SMALL` where nothing happens to it."""
    return jobs.outcome(shared(tmp_path_factory, "undisturbed", jobs.finish))
