"""max_pool2d, avg_pool2d and roi_pool, and the gradients; torch itself has no roi_pool."""

from . import times

globals().update(times(__name__, "max_pool2d", "avg_pool2d", "roi_pool"))
