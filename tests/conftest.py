"""A browser for the tests that need one; Hypothesis draws the same examples in every run; Ctrl-C is heard."""

import shutil
import signal

import pytest
from hypothesis import settings

from tests import needs

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("repeatable")

# A shell starts what it puts in the background deaf to Ctrl-C, with all its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# To a browser a page from this name is not a local one.
FAR = "robot.example"
CHROMIUM_ARGUMENTS = ["--no-sandbox", f"--host-resolver-rules=MAP {FAR} 127.0.0.1"]


@pytest.fixture(scope="session")
def playwright():
    needs.program("chromium", "chromium")
    for name in ("playwright", "waitress", "simplejpeg"):
        needs.module(name)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(playwright):
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
    yield browser
    browser.close()
