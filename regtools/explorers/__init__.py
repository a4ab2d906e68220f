"""The explorers of the book: one module a chapter, one function an explorer."""

from .image_model import theta_explorer

__all__ = ["theta_explorer"]
