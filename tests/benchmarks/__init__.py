"""What this package promises about speed and size, as ratios measured in one run.

`make bench`, or `python -m tests.benchmarks [NAME ...]`, prints a table and fails if a
promise is not kept. Every ratio compares things that take turns, so that a busy machine
slows both.
"""
