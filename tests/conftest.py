"""Hypothesis draws the same examples in every run, and never fails a test for being slow."""

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("repeatable")
