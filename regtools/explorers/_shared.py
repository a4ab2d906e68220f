"""What several explorers need."""


def picture_size(domain, scale, height):
    """Return width and height in inches of a panel whose picture of `domain` is `scale` high."""
    left, right, bottom, top = domain.omega
    return scale * (right - left) / (top - bottom), height


def relative_error(image, truth):
    """Return the norm of the difference over that of the truth."""
    return float((image - truth).norm() / truth.norm())
