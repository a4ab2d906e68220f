"""The explorer of chapter 5."""


def superresolution_explorer():
    raise NotImplementedError
