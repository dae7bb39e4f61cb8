"""linear, and its gradient."""

from . import times

globals().update(times(__name__))
