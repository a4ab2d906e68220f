"""The registration of the first page alone in a page, and a reader's hands on it."""


def write(explorer, path):
    """Write the static page of an explorer into a document of its own; return its address."""
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Registration</title>'
        '<meta name="viewport" content="width=device-width">'
        "<style>body { margin: 0; font: 16px sans-serif }</style>"
        f"<main><h1>Registration</h1>{explorer.static_page()}</main></html>"
    )
    return path.as_uri()


def readout(page, label):
    """What stands beside a slider."""
    return page.get_by_role("slider", name=label).evaluate("x => x.parentElement.innerText")


def drag(page, handle, dx, dy):
    """Drag a handle by so many pixels."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=5)
    page.mouse.up()
