"""The explorer of chapter 7."""


def fraction_explorer():
    raise NotImplementedError
