"""The explorer of chapter 6."""


def rule_explorer():
    raise NotImplementedError
