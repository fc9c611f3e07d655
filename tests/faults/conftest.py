"The server that trains, one for each test process."
import os
import pytest
from kills import Jobs

@pytest.fixture(scope="session")
def jobs():
    if not hasattr(os, "fork"): pytest.skip("needs fork, which this system has not")
    found = Jobs()
    yield found
    found.close()
