"""How a run ended, for every solver of the package, and what all their results share."""

import enum
from dataclasses import dataclass, field, fields

from ..images import ShortRepr, checks, copy


class Status(enum.Enum):
    """How a solver ended.

    References
    ----------
    Chapters 3 and 5.
    """

    CONVERGED = "converged"
    SMALL_STEP = "small step"
    MAX_ITERATIONS = "maximum number of iterations"
    NO_OVERLAP = "no overlap"
    NOT_FINITE = "not finite"
    STOPPED = "stopped"
    DONE = "all iterations done"
    BREAKDOWN = "breakdown"


class NotFiniteError(ArithmeticError, ValueError):
    """The objective or a derivative left the finite numbers at a point that was tried."""


class UndefinedStartError(ValueError):
    """The objective or a derivative is not finite where a solver is to start."""


class OwnTensors:
    """Mixin for dataclasses: they keep copies of tensors, so that no two share memory."""

    def __post_init__(self):
        for one in fields(self):  # ty: ignore[invalid-argument-type]
            object.__setattr__(self, one.name, copy(getattr(self, one.name)))


class Record(OwnTensors, ShortRepr):
    """What a history keeps of one iterate."""


@dataclass(frozen=True, kw_only=True, repr=False)
class SolverResult(OwnTensors, ShortRepr):
    """What the results of all solvers share.

    Attributes
    ----------
    success : bool
        Whether the solver's own test was met.
    status : Status
        How it ended.
    message : str
        The same in words, with numbers and advice.
    n_iter : int
        Iterations done; of a minimisation the accepted steps.
    history : tuple
        What was recorded on the way; the solver says what.
    """

    success: bool
    status: Status
    message: str = field(repr=False)
    n_iter: int
    history: tuple = field(default=(), repr=False)


GRADIENT_ADVICE = {
    Status.CONVERGED: "The gradient is below its tolerance.",
    Status.SMALL_STEP: (
        "No further decrease within rounding, while the gradient is above its tolerance; "
        "raise gtol if the result is good enough."
    ),
    Status.MAX_ITERATIONS: (
        "The gradient is still above its tolerance; raise max_iter or start closer."
    ),
    Status.STOPPED: "Interrupted; the best point so far is returned.",
}
"""What all minimisers with a gradient test say; each adds what is its own."""


def tell(callback, *state, name="callback"):
    """Call a callback, if there is one; StopIteration raised in it stops the run as Ctrl-C does."""
    if callback is None:
        return
    checks.check_callable(name, callback, also=", or None")
    try:
        callback(*state)
    except StopIteration as error:
        raise KeyboardInterrupt("stopped by the callback") from error


def message(status, n_iter, test, advice):
    """Return the words of a result."""
    return f"{status.value} after {n_iter} iterations: {test}. {advice}"


def gradient_message(status, n_iter, gradient_norm, tolerance, advice):
    """Return the words of a minimisation, with both sides of its gradient test."""
    test = f"|gradient| = {gradient_norm:.3e}, tolerance {tolerance:.3e}"
    return message(status, n_iter, test, advice)
