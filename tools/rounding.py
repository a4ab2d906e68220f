"""Write measured numbers with the digits that rounding leaves."""


def digits(value, n):
    """Round to n significant digits."""
    return float(f"{float(value):.{n - 1}e}")


def halves(value):
    """Round to a multiple of one half, for numbers that hang on rounding in the first decimal."""
    return round(2 * float(value)) / 2


def below(value, *bounds):
    """Say which of the bounds a number is below, for numbers whose digits hang on rounding."""
    found = next((f"< {bound:g}" for bound in bounds if value < bound), None)
    return found or f"> {bounds[-1]:g}"


def percent(part, whole, n=3):
    """A norm relative to another, in percent."""
    return digits(100 * part.norm() / whole.norm(), n)
