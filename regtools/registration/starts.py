r"""Where a search begins: affine maps that a pair of images suggests.

A path ends in the valley in which it begins. Each function here returns starting parameters of an
affine map, one a row, for a `RegistrationProblem`: nothing but the identity, maps that match the
moments of both images, turns about the centre, and a map that matches features.
"""

from __future__ import annotations

import itertools
import math
import warnings

import torch

from ..images import Domain, checks
from .problem import RegistrationProblem
from .surround import border, grey_range
from .transforms import Affine, split_affine

STARTS = ("identity", "moments", "angles", "features")


class NoStartError(ValueError):
    """The images do not suggest a map of this kind."""


def identity_starts(problem: RegistrationProblem) -> torch.Tensor:
    """Return the identity, shape ``(1, n_params)``; of files the one that their headers mean.

    References
    ----------
    Chapter 3.
    """
    return _own(problem, [_together(problem)])


def moment_starts(problem: RegistrationProblem) -> torch.Tensor:
    r"""Return the maps that match centroids and principal axes of both images.

    A grey value counts by its distance from the median of the border, and not at all within a tenth
    of the range, so that noise does not weigh. With centroids :math:`c`, principal axes :math:`E`
    and standard deviations :math:`\sigma` along them the map is

    .. math::
       y = c_T + E_T\,\mathrm{diag}(\pm \sigma_T / \sigma_R)\,E_R^\top (x - c_R) .

    Axes have no sign, so all choices that do not mirror the image are returned: two in the plane,
    half a turn apart, and four in space.

    Parameters
    ----------
    problem : RegistrationProblem
        With an `Affine` map.

    Returns
    -------
    torch.Tensor
        Shape ``(2, 6)`` or ``(4, 12)``.

    Raises
    ------
    NoStartError
        If an image has no extent along one of its axes.

    References
    ----------
    Modersitzki, *FAIR* (SIAM, 2009), section 5.2 has the same by hand. Chapter 3.
    """
    (here, spread, axes), (there, wide, turned) = (
        _moments(image.data, image.domain) for image in (problem.reference, problem.template)
    )
    starts, d = [], problem.domain.dim
    for signs in itertools.product((1.0, -1.0), repeat=d):
        A = turned @ torch.diag(axes.new_tensor(signs) * wide / spread) @ axes.T
        if torch.linalg.det(A) * torch.linalg.det(_matrix(problem)) > 0:
            starts.append(_parameters(A, there - A @ here))
    return _own(problem, starts)


def angle_starts(problem: RegistrationProblem, n: int = 12) -> torch.Tensor:
    """Return turns about the centre of the box, which goes to the centre of the template's.

    Parameters
    ----------
    problem : RegistrationProblem
        With an `Affine` map.
    n : int
        In the plane, how many angles divide the circle. In space the 24 turns that take a
        cube to itself are returned instead.

    Returns
    -------
    torch.Tensor
        Shape ``(n, 6)``, the identity first, or ``(24, 12)``.

    Raises
    ------
    ValueError
        If `n` is below 1.

    References
    ----------
    Chapter 3 starts from 24 angles.
    """
    n = checks.whole("n", n)
    domain, data = problem.domain, problem.reference.data
    if domain.dim == 2:
        angles = [2 * math.pi * k / n for k in range(n)]
        turns = [[[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]] for a in angles]
    else:
        turns = _turns_of_a_cube()
    here, there = (
        data.new_tensor([(a + b) / 2 for a, b in zip(box.lower, box.upper, strict=True)])
        for box in (domain, problem.template.domain)
    )
    matrices = data.new_tensor(turns) @ _matrix(problem)
    return _own(problem, [_parameters(A, there - A @ here) for A in matrices])


def feature_starts(problem: RegistrationProblem) -> torch.Tensor:
    """Return the similarity that most matches of SIFT features agree on.

    Features are found by scikit-image in both images, scaled to their common range of grey
    values, and matched by their descriptors; RANSAC looks for the map in pixels.

    Parameters
    ----------
    problem : RegistrationProblem
        Of two axes, with an `Affine` map.

    Returns
    -------
    torch.Tensor
        Shape ``(1, 6)``.

    Raises
    ------
    NoStartError
        If the images are not two-dimensional, or too few features match.
    ImportError
        If scikit-image is not installed.

    References
    ----------
    Lowe, "Distinctive image features from scale-invariant keypoints" (2004); Fischler and Bolles,
    "Random sample consensus" (1981). Chapter 3.
    """
    domain, images = problem.domain, (problem.template, problem.reference)
    if domain.dim != 2:
        raise NoStartError(f'"features" are found in images of 2 axes only; got {domain.dim}')
    feature, measure, transform = (
        checks.imported(f"skimage.{name}", 'start="features" needs {}')
        for name in ("feature", "measure", "transform")
    )
    low, high = grey_range(*(image.data for image in images))
    found = []
    for image in images:
        sift = feature.SIFT()
        grey = ((image.data - low) / max(high - low, 1e-300)).clamp(0, 1).numpy(force=True)
        try:
            sift.detect_and_extract(grey.astype(float))
        except (RuntimeError, ValueError, IndexError) as error:  # nothing found, or too small
            raise NoStartError(f"an image has no features: {error}") from error
        found.append((sift.keypoints, sift.descriptors))
    (there, one), (here, two) = found
    matches = feature.match_descriptors(one, two, max_ratio=MAX_RATIO)
    if len(matches) < LEAST_MATCHES:
        raise NoStartError(f"only {len(matches)} features match, {LEAST_MATCHES} are needed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about samples that determine no map
        model, inliers = measure.ransac(
            (here[matches[:, 1]], there[matches[:, 0]]),
            transform.SimilarityTransform,
            min_samples=2,
            residual_threshold=AGREE,
            max_trials=1000,
            rng=0,
        )
    n_agree = 0 if inliers is None else int(inliers.sum())
    if n_agree < LEAST_MATCHES:
        raise NoStartError(f"only {n_agree} of {len(matches)} matches agree on a map")
    params = problem.reference.data.new_tensor(model.params)
    found = _from_pixels(params[:2, :2], params[:2, 2], domain, problem.template.domain)
    return _own(problem, [found])


MAX_RATIO = 0.8
"""A match counts if the second best descriptor is that much further away."""
LEAST_MATCHES = 4
AGREE = 3.0
"""Pixels within which a match agrees with a map: a path goes on from there."""

MAKERS = {
    "identity": identity_starts,
    "moments": moment_starts,
    "angles": angle_starts,
    "features": feature_starts,
}


def _together(problem):
    """The affine map at which nothing is moved."""
    data = problem.reference.data
    if problem.together is not None:
        return problem.together.to(data)
    return Affine(problem.domain.dim).identity(data.dtype, data.device)


def _own(problem, rows):
    """Affine maps as parameters of the problem's own kind of map; a shift is that of the centre."""
    if not problem.transform.turns:
        box = problem.domain
        centre = rows[0].new_tensor(
            [(a + b) / 2 for a, b in zip(box.lower, box.upper, strict=True)]
        )
        still, turned = split_affine(_together(problem)), map(split_affine, rows)
        rows = [_parameters(still[0], A @ centre + b - still[0] @ centre) for A, b in turned]
    return torch.stack([problem.transform.from_affine(row) for row in rows])


def _matrix(problem):
    d = problem.domain.dim
    return _together(problem)[: d * d].reshape(d, d)


def _parameters(A, b):
    return torch.cat([A.flatten(), b])


def _from_pixels(A, b, domain: Domain, other: Domain):
    """Parameters of a map given from pixels of one box to those of another, counted from 0."""
    (h, first), (wide, there) = (
        (A.new_tensor(box.h), A.new_tensor(box.lower) + A.new_tensor(box.h) / 2)
        for box in (domain, other)
    )
    A = wide[:, None] * A / h
    return _parameters(A, there + wide * b - A @ first)


def _moments(data, domain):
    """Centroid, standard deviations along the principal axes, and these as columns."""
    low, high = grey_range(data)
    weight = (data - border(data).median()).abs()
    weight = torch.where(weight > 0.1 * (high - low), weight, 0.0).flatten()
    if not weight.sum() > 0:
        raise NoStartError("an image has no pixel that differs from its border")
    x = domain.cell_centers(data.dtype, data.device)
    centroid = weight @ x / weight.sum()
    x = x - centroid
    variances, axes = torch.linalg.eigh((weight[:, None] * x).T @ x / weight.sum())
    if not variances[0] > 1e-12 * variances[-1]:
        raise NoStartError("what differs from the border of an image lies on a line")
    return centroid, variances.sqrt(), axes


def _turns_of_a_cube():
    """The 24 rotations by right angles, the identity first."""
    turns = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            A = torch.zeros(3, 3, dtype=torch.float64, device="cpu")
            A[range(3), list(order)] = torch.tensor(signs, dtype=torch.float64, device="cpu")
            if torch.linalg.det(A) > 0:
                turns.append(A.tolist())
    return turns
