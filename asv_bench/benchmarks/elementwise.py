"""The element-wise operators, and the gradients."""

from . import times

globals().update(times(__name__))
