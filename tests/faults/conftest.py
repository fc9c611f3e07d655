"The server that trains, one for each test process."
import os
import pytest
from kills import Jobs

collect_ignore_glob = [] if os.name=="posix" else ["*"] # a system without fork and SIGKILL

@pytest.fixture(scope="session")
def jobs():
    found = Jobs()
    yield found
    found.close()
