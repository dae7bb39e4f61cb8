"""flatten, as a view and as a copy, and the gradients."""

from . import times

globals().update(times(__name__))
