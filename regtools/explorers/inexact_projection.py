"""The explorer of chapter 8."""


def inexact_explorer():
    raise NotImplementedError
