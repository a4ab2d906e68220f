"""Images to register: a drawn pair of hands, real images free to copy, and the paper's pair.

Convention for every array: ``data[i, j]`` belongs to cell ``(i, j)`` of the domain; axis 0 is
x^1 (horizontal, to the right), axis 1 is x^2 (vertical, upwards).  To look at an image, draw
``imshow(data.T, origin="lower")``.  A picture stored as rows x columns, row 0 on top, therefore
becomes ``picture[::-1].T``.  The paper's pair keeps the paper's orientation, see `load`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import _phantom
from ._checks import as_whole, check_domain, checked_seeds, imported, span
from ._short import ShortRepr
from .domain import Domain

# Pictures shipped inside the scikit-image wheel; the licence is quoted from each docstring.
# name: function of skimage.data, size of the full picture in physical units, default m
# (at most 256 cells, aspect ratio kept), credit, licence
_REAL = {
    "retina": (
        "retina",
        (1411.0, 1411.0),
        (256, 256),
        "Mikael Häggström, fundus photograph of a normal left eye, WikiJournal of Medicine 1(2) "
        "(2014), doi:10.15347/wjm/2014.008",
        "CC0 1.0 Universal Public Domain Dedication",
    ),
    "cells": (
        "cell",
        (550 * 0.107, 660 * 0.107),  # the docstring gives 0.107 micrometres a pixel
        (210, 252),
        "Paul Müller et al., quantitative phase image of a cell floating in saline, "
        "Optics Express 26(8) (2018), doi:10.1364/OE.26.010729",
        "CC0, dedicated to the public domain",
    ),
    "camera": (
        "camera",
        (512.0, 512.0),
        (256, 256),
        "Lav Varshney, photograph of a man with a camera",
        "CC0 by the photographer",
    ),
    "microaneurysms": (
        "microaneurysms",
        (102.0, 102.0),
        (102, 102),
        "Andreas Maier, crop of 07_dr.JPG (green channel), High-Resolution Fundus database; "
        "Budai et al., Int. J. Biomedical Imaging (2013), doi:10.1155/2013/154860",
        "CC0 given by owner (Andreas Maier)",
    ),
}

_HANDS_URL = "https://raw.githubusercontent.com/C4IR/FAIR.m/975edeb/kernel/data/"
_HANDS_SHA256 = {
    "hands-R.jpg": "608a8f54793a05a375d8d611a5f7196554d3ccc1d2271f3cd758cd99cb4d6e21",
    "hands-T.jpg": "33458a21ad3bc9aea49f0a704a2d99c5b1968b48e8cb1d75d3e98571ba218392",
}

DATASETS = ("hands-phantom", *_REAL, "hands")


@dataclass(frozen=True, eq=False, repr=False)
class Image(ShortRepr):
    """One image on its domain.

    Attributes
    ----------
    name : str
    data : torch.Tensor
        Shape ``domain.m``, float64, grey values 0..255; axis 1 points upwards.
    domain : Domain
    credit, licence : str
        Who made the image, and on what terms it may be used.
    """

    name: str
    data: torch.Tensor
    domain: Domain
    credit: str
    licence: str

    @property
    def image(self) -> torch.Tensor:
        """The true image of a super-resolution problem: the data."""
        return self.data


@dataclass(frozen=True, eq=False, repr=False)
class Pair(ShortRepr):
    """Two images on one domain, of which the template is to be moved onto the reference.

    Attributes
    ----------
    name : str
    template, reference : torch.Tensor
        Shape ``domain.m``, float64, grey values 0..255; axis 1 points upwards.
    domain : Domain
    credit, licence : str
        Who made the images, and on what terms they may be used.
    """

    name: str
    template: torch.Tensor
    reference: torch.Tensor
    domain: Domain
    credit: str
    licence: str

    @property
    def image(self) -> torch.Tensor:
        """The true image of a super-resolution problem: the reference."""
        return self.reference


def load(name: str, m: int | tuple[int, int] | None = None) -> Image | Pair:
    """Load an image or a pair of images by name.

    ==================  =======  ===========  ==============================================
    name                kind     default m    domain
    ==================  =======  ===========  ==============================================
    ``hands-phantom``   `Pair`   (128, 128)   [0, 20] x [0, 25], drawn at any resolution
    ``retina``          `Image`  (256, 256)   [0, 1411] x [0, 1411] pixels
    ``cells``           `Image`  (210, 252)   [0, 58.85] x [0, 70.62] micrometres
    ``camera``          `Image`  (256, 256)   [0, 512] x [0, 512] pixels
    ``microaneurysms``  `Image`  (102, 102)   [0, 102] x [0, 102] pixels
    ``hands``           `Pair`   (128, 128)   [0, 20] x [0, 25], the paper's pair
    ==================  =======  ===========  ==============================================

    The drawn pair resembles the paper's problem: the template is turned by 155 degrees and its
    fingers are spread otherwise, so no affine map takes it onto the reference.  ``hands`` is read
    from the folder in the environment variable ``REGTOOLS_DATA``, or else downloaded once.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    m : int or pair of int, optional
        Number of cells along each axis, at least 4; an int means the same along both.

    Returns
    -------
    Image or Pair
        With float64 data of shape ``m``, grey values 0..255.  The domain does not depend on `m`.

    Raises
    ------
    ValueError
        If `name` is unknown, `m` is not a pair or too small, or a file of ``hands`` is not the
        paper's (its SHA-256 is checked).
    TypeError
        If `m` is not made of whole numbers.
    FileNotFoundError
        If a file of ``hands`` is missing in ``REGTOOLS_DATA``.
    ConnectionError
        If ``REGTOOLS_DATA`` is unset and the files of ``hands`` cannot be downloaded.

    References
    ----------
    Real images: the wheel of scikit-image, docstrings in ``skimage.data``.  ``hands``: the FAIR
    toolbox, from Y. Amit, SIAM J. Sci. Comput. 15 (1994); paper, section 3.1. Chapters 1 and 5.
    """
    if not isinstance(name, str) or name not in DATASETS:
        raise ValueError(f"name must be one of {', '.join(DATASETS)}; got {name!r}")
    m = None if m is None else _check_m(m)
    if name == "hands-phantom":
        return _load_phantom(m or (128, 128))
    if name == "hands":
        return _load_hands(m or (128, 128))
    return _load_real(name, m)


def random_maps(
    domain: Domain,
    seeds: Iterable[int],
    scales: tuple[float, float] = (0.95, 1.3),
    angles: tuple[float, float] = (0.0, 45.0),
) -> torch.Tensor:
    """Return random affine maps about the centre of a box, as the paper draws them.

    Parameters
    ----------
    domain : Domain
        A box with two axes.
    seeds : sequence of int
        One map for each: NumPy's legacy generator draws two scales, then one angle.
    scales, angles : pair of float
        Lowest and highest scale along each axis, and angle in degrees.

    Returns
    -------
    torch.Tensor
        Blocks ``[A row by row, b]``, one a seed: A turns what has been scaled, and b keeps the
        centre where it is.

    Raises
    ------
    ValueError
        If `domain` does not have two axes, a scale or an angle is not finite, or there is no seed.
    TypeError
        If `seeds` are not whole numbers, or `scales` or `angles` no pair of numbers.

    References
    ----------
    Paper, section 4.3, with seeds 2, 3, 4. Chapter 5.
    """
    check_domain(domain)
    if domain.dim != 2:
        raise ValueError(f"domain must have 2 axes; got {domain.dim}")
    sizes, turns = span("scales", scales), span("angles", angles)
    centre, blocks = np.add(domain.lower, domain.upper) / 2, []
    for seed in checked_seeds(seeds):
        generator = np.random.RandomState(seed)
        scale, angle = generator.uniform(*sizes, 2), np.radians(generator.uniform(*turns))
        turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix = turn @ np.diag(scale)
        blocks += [matrix.ravel(), centre - matrix @ centre]
    return torch.as_tensor(np.concatenate(blocks))


def _check_m(m):
    allowed = "a whole number or a pair of whole numbers, each at least 4"
    try:
        pair = tuple(m)
    except TypeError:
        pair = (m, m)
    if len(pair) != 2:
        raise ValueError(f"m must be {allowed}; got {m!r}")
    try:
        pair = tuple(map(as_whole, pair))
    except TypeError as error:
        raise TypeError(f"m must be {allowed}; got {m!r}") from error
    if min(pair) < 4:
        raise ValueError(f"m must be {allowed}; got {m!r}")
    return pair


def _tensor(array):
    """Turn an array, perhaps a flipped view, into a float64 tensor on torch's default device."""
    return torch.as_tensor(np.array(array, dtype=np.float64, order="C"))


def _load_phantom(m):
    template, reference = (
        _tensor(_phantom.render(m, pose)) for pose in (_phantom.TEMPLATE, _phantom.REFERENCE)
    )
    return Pair(
        name="hands-phantom",
        template=template,
        reference=reference,
        domain=Domain(_phantom.OMEGA, m),
        credit="drawn by regtools (regtools/images/_phantom.py)",
        licence="BSD-3-Clause, as regtools",
    )


NEED = "load needs {} for this name"


def _load_real(name, m):
    color, skimage_data, transform = (
        imported(f"skimage.{name}", NEED) for name in ("color", "data", "transform")
    )
    function, (width, height), default_m, credit, licence = _REAL[name]
    m = m or default_m
    picture = getattr(skimage_data, function)()
    if picture.ndim == 3:
        picture = 255 * color.rgb2gray(picture)  # in: 0..255, out: 0..1
    picture = transform.resize(
        picture.astype(np.float64), m[::-1], anti_aliasing=True, preserve_range=True
    )
    return Image(
        name=name,
        data=_tensor(picture[::-1].T),
        domain=Domain((0.0, width, 0.0, height), m),
        credit=credit,
        licence=f"{licence} (stated in the docstring of skimage.data.{function})",
    )


def _load_hands(m):
    pillow, data = imported("PIL.Image", NEED), {}
    for file in _HANDS_SHA256:
        with pillow.open(_hands_path(file)) as picture:
            data[file] = np.asarray(picture.resize(m)).T  # Pillow takes (width, height)
    # The paper's orientation: the second flip turns the template by a further 180 degrees.
    return Pair(
        name="hands",
        template=_tensor(data["hands-T.jpg"][::-1, :]),
        reference=_tensor(data["hands-R.jpg"][:, ::-1]),
        domain=Domain((0.0, 20.0, 0.0, 25.0), m),
        credit="Y. Amit, SIAM J. Sci. Comput. 15 (1994), via the FAIR toolbox "
        "(github.com/C4IR/FAIR.m, commit 975edeb)",
        licence="none stated for the images (the toolbox around them is LGPL-3): "
        "do not redistribute them",
    )


def _hands_path(file):
    """Path of a checked file: in the user's folder, or else downloaded once into the cache."""
    expected = _HANDS_SHA256[file]
    folder = os.environ.get("REGTOOLS_DATA")
    if not folder:
        return _download(file, expected)
    path = Path(folder) / file
    if not path.is_file():
        raise FileNotFoundError(
            f"{file} is not in {folder}, the folder named by REGTOOLS_DATA. Put it there, or "
            f"unset REGTOOLS_DATA to download it from {_HANDS_URL}"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} is not the paper's image: expected SHA-256 {expected}, found {found}. "
            f"The right file is at {_HANDS_URL}{file}"
        )
    return path


def _download(file, expected):
    pooch = imported("pooch", NEED)
    try:
        return pooch.retrieve(
            _HANDS_URL + file, f"sha256:{expected}", fname=file, path=pooch.os_cache("regtools")
        )
    except ValueError as error:  # pooch has thrown the file away; its message gives both hashes
        raise ValueError(
            f"the download {_HANDS_URL}{file} is not the paper's image and was not kept: {error}"
        ) from error
    except OSError as error:
        raise ConnectionError(
            f"{file} could not be downloaded. Either connect to the internet, or set the "
            f"environment variable REGTOOLS_DATA to a folder that holds "
            f"{' and '.join(_HANDS_SHA256)} from {_HANDS_URL}"
        ) from error
