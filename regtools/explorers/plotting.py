"""How the book draws: one style, one way to show an image, plain functions ``plot_x(…, ax)``."""

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np

from ..images import frequency_response, half_gain_wavelength
from ..superresolution import RULES

STYLE = str(files("regtools.explorers") / "regtools.mplstyle")
"""Path of the matplotlib style file, for ``plt.style.use`` or ``plt.style.context``."""


def use_style():
    """Draw everything that follows in the style of the book."""
    plt.style.use(STYLE)


def plot_image(data, domain, ax, title="", vmin=0.0, vmax=255.0):
    """Show a 2D image in its box, first axis to the right and second axis up.

    Parameters
    ----------
    data : torch.Tensor
        Shape ``(m0, m1)``; the shape may be finer or coarser than `domain.m`.
    domain : Domain
        The box, for the extent of the picture.
    ax : matplotlib.axes.Axes
        Where to draw.
    title : str
        Put above the picture.
    vmin, vmax : float
        Grey values drawn black and white.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    (left, bottom), (right, top) = domain.lower, domain.upper
    picture = ax.imshow(
        data.detach().cpu().numpy().T,
        extent=(left, right, bottom, top),
        origin="lower",
        cmap="gray",
        vmin=vmin,
        vmax=vmax,
    )
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return picture


def plot_residual(data, domain, ax, title="", largest=150.0):
    """Show a difference of images: blue below zero, white at zero, red above.

    Parameters
    ----------
    data, domain, ax, title
        As for `plot_image`.
    largest : float
        Size of the difference at which the colours end, on both sides.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    picture = plot_image(data, domain, ax, title, vmin=-largest, vmax=largest)
    picture.set_cmap("RdBu_r")
    return picture


def plot_taylor_test(test, ax, **style):
    """Draw the remainders of a `TaylorTest` over the steps, with the observed order.

    Parameters
    ----------
    test : TaylorTest
        What `taylor_test` returned.
    ax : matplotlib.axes.Axes
        Where to draw, on logarithmic axes.
    **style
        Handed to ``ax.loglog``; a ``label`` is completed by the order.
    """
    label = f"{style.pop('label', 'remainder')}: $t^{{{test.order:.1f}}}$"
    shown = test.remainders > 0  # zero has no place on a logarithmic axis
    ax.loglog(test.steps[shown], test.remainders[shown], ".-", label=label, **style)
    ax.set(xlabel="step $t$", ylabel="remainder")
    ax.legend()


def plot_profile(x, values, ax, samples=None, **style):
    """Draw grey values along a line, and the pixels they come from as dots.

    Parameters
    ----------
    x, values : torch.Tensor
        Shape ``(n,)``: position in physical units and grey value.
    ax : matplotlib.axes.Axes
        Where to draw.
    samples : tuple of torch.Tensor, optional
        Positions and values of the pixels on the line.
    **style
        Handed to ``ax.plot`` for the line.
    """
    if samples is not None:
        ax.plot(*(part.cpu().numpy() for part in samples), ".", color="0.3", ms=3, label="pixels")
    ax.plot(x.cpu().numpy(), values.detach().cpu().numpy(), **style)
    ax.set(xlabel="$x^1$", ylabel="grey value")


def plot_frequency_response(theta, ax, **style):
    """Draw the gain of blur `theta` over the wavelength, and mark where it is about one half.

    Parameters
    ----------
    theta : float
        Blur in pixels⁴.
    ax : matplotlib.axes.Axes
        Where to draw; the wavelength runs from 2 pixels, the shortest there is, to 200.
    **style
        Handed to ``ax.plot`` for the line.
    """
    wavelength = np.geomspace(2, 200, 300)
    (line,) = ax.plot(wavelength, frequency_response(2 * np.pi / wavelength, theta), **style)
    half = half_gain_wavelength(theta)
    if 2 <= half <= 200:
        ax.plot(half, frequency_response(2 * np.pi / half, theta), "o", color=line.get_color())
    ax.axhline(0.5, color="0.7", lw=0.8, ls=":", zorder=0)
    ax.set(xscale="log", xlim=(2, 200), ylim=(-0.03, 1.05), xlabel="wavelength [pixels]")
    ax.set(ylabel="gain", xticks=[2, 5, 10, 20, 50, 200])
    ax.set_xticklabels([2, 5, 10, 20, 50, 200])
    ax.minorticks_off()


def plain(value):
    """Write a number with three significant digits and no exponent."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")


RULE_STYLES = {
    name: {"color": color, "ls": line, "label": RULES[name].label}
    for name, color, line in [
        ("unrolled", "C3", "-."),
        ("implicit", "C0", "-"),
        ("kaufman", "C2", "--"),
        ("none", "C1", ":"),
    ]
}
"""One line style for each way to differentiate the projection, the same in all chapters."""


def plot_runs(runs, ax, value="loss", over="iteration"):
    """Draw how runs of `varpro` went, relative to where they started.

    Parameters
    ----------
    runs : dict
        `VarProResult` by name; the names in `RULE_STYLES` have their own style.
    ax : matplotlib.axes.Axes
        Where to draw.
    value : {"loss", "gradient_norm"}
        What to draw, on a logarithmic axis, 1 at the start.
    over : {"iteration", "n_iter_cg"}
        Along which count: accepted steps, or CG iterations spent, a block of right-hand sides
        counted once (see `VarProState`).
    """
    for name, run in runs.items():
        along = [getattr(state, over) for state in run.history]
        values = np.array([getattr(state, value) for state in run.history])
        ax.semilogy(along, values / values[0], **RULE_STYLES.get(name, {"label": name}))
    words = {"iteration": "Gauss–Newton step", "n_iter_cg": "CG iterations spent"}
    ax.set(xlabel=words[over], ylabel=f"relative {value.replace('_', ' ')}")
