"""The explorer of chapter 9: two pictures, the kind of map and the distance."""

import functools
import html
import tempfile
from dataclasses import dataclass
from pathlib import Path

import ipywidgets
import numpy as np

from ..images import Picture, read_image
from ..registration import Registration, identity_starts, register, warped
from .controls import Control
from .explorer import Explorer, Panel

TRANSFORMS = ("affine", "similarity", "rigid", "translation")
DISTANCES = ("ncc", "ssd", "ngf")
VIEWS = ("checkerboard", "difference")
_KINDS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".gz", ".nrrd", ".mha", ".dcm")


@dataclass(frozen=True)
class Shown:
    """One registration, and what of it is shown."""

    found: Registration
    transform: str
    distance: str
    view: str


class PairView:
    """What `pair_explorer` computes, draws and says, with the same arguments."""

    def __init__(self, template, reference):
        for name, one in (("template", template), ("reference", reference)):
            if not isinstance(one, Picture):
                raise TypeError(f"{name} must be a Picture; got {type(one).__name__}")
        self.pictures = template, reference
        self.found = functools.cache(self._found)

    def _found(self, transform, distance):
        return register(*self.pictures, transform=transform, distance=distance)

    def take(self, template, reference):
        """Show two other pictures from now on."""
        self.pictures = template, reference
        self.found.cache_clear()

    def compute(self, distance, transform, view):
        """Return the registration with these choices."""
        return Shown(self.found(transform, distance), transform, distance, view)

    def layers(self, shown, before=False):
        """The reference, and the template beside it, matched in brightness; NaN outside."""
        found = shown.found
        template, reference = found.pictures
        w = identity_starts(found.problem)[0] if before else found.w
        y = found.transform(w, found.problem.points)
        moved = warped(template.grey, found.template.domain, y, "mirror", float("nan"))
        moved = found.gain * moved.reshape(found.problem.domain.m) + found.offset
        return _plane(reference.grey), _plane(moved)

    def draw(self, shown, ax, before=False):
        """Draw a checkerboard of both, or their difference."""
        here, moved = self.layers(shown, before)
        ax.set(xticks=[], yticks=[], title="before" if before else "after")
        ax.spines[:].set_visible(False)
        wide, tall = shown.found.problem.domain.h[:2]
        low, high = np.nanquantile(here, (0.01, 0.99))
        if shown.view == "difference":
            most = (high - low) / 2 or 1.0
            ax.imshow((moved - here).T, cmap="RdBu_r", vmin=-most, vmax=most, aspect=tall / wide)
            return
        rows, columns = np.indices(here.shape) * 8 // np.array(here.shape)[:, None, None]
        board = np.where((rows + columns) % 2, moved, here)
        ax.imshow(board.T, cmap="gray", vmin=low, vmax=high, aspect=tall / wide)

    def alt(self, shown, before=False):
        """Return the text alternative."""
        what = "The difference" if shown.view == "difference" else "A checkerboard"
        return f"{what} of both pictures {'before' if before else 'after'} registration."

    def describe(self, shown):
        """Say how it ended."""
        found = shown.found
        error = found.displacement_error()
        noise = ""
        if error is not None:
            size = float(error[found.covered()].square().mean().sqrt())
            unit = "mm" if found.pictures[1].unit == "mm" else "pixels of the moving one"
            noise = f" By noise alone the map is off by about {size:.1g} {unit}."
        covered = f"The template covers {100 * found.overlap:.0f} % of the reference"
        misfit = f"{100 * found.misfit:.2g} %"
        kind = f"{shown.transform.capitalize()} by {shown.distance}, {shown.view}"
        return f"{kind}: {found.status.value}. {covered}, with a misfit of {misfit}.{noise}"


def _plane(values):
    values = values.numpy(force=True)
    return values if values.ndim == 2 else values[:, :, values.shape[2] // 2]


def uploaded(files, folder):
    """Return the picture of an upload, read from a folder that nothing else is written to.

    The name comes from outside: only its ending is used.

    Raises
    ------
    ValueError
        If it has no ending of a known format, or `read_image` refuses it.
    """
    (one,) = files
    endings = [end.lower() for end in Path(str(one["name"])).suffixes[-2:] if end.lower() in _KINDS]
    if not endings:
        raise ValueError(f"an upload must end in one of {', '.join(_KINDS)}")
    path = Path(folder) / f"upload{''.join(endings)}"
    path.write_bytes(bytes(one["content"]))
    return read_image(path)


def pair_explorer(template, reference):
    """Show how two pictures register, by kind of map and distance; live, also two of the reader's.

    Parameters
    ----------
    template, reference : Picture
        As `read_image` returns them.

    Returns
    -------
    Explorer
        Rows of buttons for distance, map and view; in JupyterLab two uploads more.

    Raises
    ------
    TypeError
        If one is not a `Picture`.
    """
    view = PairView(template, reference)
    explorer = Explorer(
        view.compute,
        [
            Panel(
                functools.partial(view.draw, before=before),
                functools.partial(view.alt, before=before),
                (2.7, 2.7),
                lossless=False,
            )
            for before in (True, False)
        ],
        [
            Control("distance", "Distance", DISTANCES, format="{}", buttons=True),
            Control("transform", "Map", TRANSFORMS, format="{}", buttons=True),
            Control("view", "Show", VIEWS, format="{}", buttons=True),
        ],
        name="pair",
        describe=view.describe,
        title="Two pictures",
    )
    _add_uploads(explorer, view)
    return explorer


def _add_uploads(explorer, view):
    """Two uploads under the pictures; when both hold a picture, they are taken."""
    fixed, moving = (
        ipywidgets.FileUpload(accept=",".join(_KINDS), description=name, multiple=False)
        for name in ("Fixed …", "Moving …")
    )
    said = ipywidgets.HTML()

    def taken(change):
        if not (fixed.value and moving.value):
            said.value = "Now the other one."
            return
        said.value = "Registering …"
        try:
            with tempfile.TemporaryDirectory() as folder:
                reference = uploaded(fixed.value, folder)
            with tempfile.TemporaryDirectory() as folder:
                template = uploaded(moving.value, folder)
        except (ValueError, OSError) as error:
            said.value = html.escape(str(error))
            return
        view.take(template, reference)
        explorer._update()
        said.value = ""

    for one in (fixed, moving):
        one.observe(taken, names="value")
    words = ipywidgets.HTML("Your own two pictures:")
    explorer.uploads = fixed, moving
    explorer.children = (*explorer.children, words, ipywidgets.HBox([fixed, moving]), said)
