"""The scale beside a picture of differences."""


def colour_bar(picture, ax, unit=""):
    """Put a colour bar with three ticks, both ends and zero, to the right of a picture."""
    end = picture.get_clim()[1]
    bar = ax.figure.colorbar(picture, ax=ax, fraction=0.06, pad=0.03)
    bar.set_ticks([-end, 0, end], labels=[f"−{short(end)}", "0", short(end)])
    bar.ax.tick_params(labelsize=7, length=2)
    bar.ax.set_title(unit, fontsize=7, loc="left", pad=4)
    bar.outline.set_visible(False)


def short(value):
    """Two digits, or a power of ten from ten thousand on."""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}" if value < 1e4 else f"{value:.0e}"
