"""Mend one thing in the pages that screen readers stumble over: the list of references.

docutils calls it a list, but gives its entries a role that lists may not hold.
"""


def mend(app, pagename, templatename, context, doctree):
    """Drop the wrong role from the body of a page."""
    if context.get("body"):
        context["body"] = context["body"].replace(
            '<div role="list" class="citation-list">', "<div>"
        )


def setup(app):
    """Call `mend` on every page."""
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "version": "1"}
