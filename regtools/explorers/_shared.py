"""What several explorers need."""

from .explorer import Panel


def image_panel(draw, alt, domain, scale, height):
    """Return a panel of `height` inches whose picture of `domain` is `scale` inches high."""
    left, right, bottom, top = domain.omega
    width = scale * (right - left) / (top - bottom)
    return Panel(draw, alt, size=(width, height), lossless=False)


def error_alt(image):
    """Return the text alternative of a picture that shows an image minus the true one."""
    return f"{image} minus the true one, red where it is too bright, blue where too dark."
