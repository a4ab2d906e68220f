"""The mark of tests that run on the paper's own pair."""

import os

import pytest

on_the_papers_pair = pytest.mark.skipif(
    "REGTOOLS_DATA" not in os.environ,
    reason="the paper's pair is not redistributed: set REGTOOLS_DATA to the folder that holds it",
)
