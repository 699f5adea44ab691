"""PyTorch on one thread: for small networks several wait for each other more than they work."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """For every test of a module that imports it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
