"""The pools, and the gradients; torch itself has no roi_pool."""

from . import times

globals().update(times(__name__))
