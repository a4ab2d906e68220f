"""A problem of the atlas: a short record that says all that is needed to make it again."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, fields

import numpy as np

from ..images import checks

KINDS = ("object", "scene", "poses")


@dataclass(frozen=True, order=True)
class Problem:
    """One problem: a picture, how it is moved, and what is asked of it.

    Problems that differ only in `study`, `noise` and `lam` have the same picture, the same maps and
    the same draw of the noise, so that their rows can be compared in pairs. An object is cut out of
    the scene of the same image, size and seed.

    Attributes
    ----------
    study : str
        What is measured, one of `STUDIES`.
    image : str
        One of `IMAGES`.
    kind : {"object", "scene", "poses"}
        Whether the picture is black outside a smooth outline, goes on outside its box, or shows
        a drawn hand in two poses, so that no map explains it.
    size : int
        Cells along each axis of the picture, at least 8.
    seed : int
        Of cut, outline, maps and noise.
    noise : float
        Standard deviation of the noise in per cent of 255 grey values.
    degrees : float
        Maps turn by up to so much, to either side.
    lam : float
        Weight of the smoothing in cells of the picture; 0 where none is needed.
    factor : int
        Cells to one pixel of a frame, along each axis; 1 for a pair.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range, or `kind` another word.
    """

    study: str
    image: str
    kind: str
    size: int
    seed: int
    noise: float = 0.0
    degrees: float = 15.0
    lam: float = 0.0
    factor: int = 1

    def __post_init__(self):
        for name in ("study", "image"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a word; got {getattr(self, name)!r}")
        checks.check_choice("kind", self.kind, KINDS)
        checks.whole("size", self.size, 8)
        checks.whole("seed", self.seed, 0)
        checks.whole("factor", self.factor)
        for name in ("noise", "degrees", "lam"):
            # An int would make another key.
            number = checks.not_negative(name, getattr(self, name))
            object.__setattr__(self, name, float(number))

    @property
    def key(self) -> str:
        """A name that no other problem has, the same on every machine."""
        return " ".join(
            f"{one.name}={value:g}" if isinstance(value, float) else f"{one.name}={value}"
            for one, value in zip(fields(self), astuple(self), strict=True)
        )

    def picture_rng(self, what: str) -> np.random.Generator:
        """Return a generator for one purpose that depends on image, size and seed alone."""
        return _generator(what, self.image, self.size, self.seed)

    def rng(self, what: str) -> np.random.Generator:
        """Return a generator for one purpose that does not depend on study, noise or λ."""
        moved = (self.kind, f"{self.degrees:g}", self.factor)
        return _generator(what, self.image, self.size, self.seed, *moved)


def _generator(*words):
    """Always the same for the same words, also in another process: `hash` is not."""
    digest = hashlib.sha256(repr(words).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
