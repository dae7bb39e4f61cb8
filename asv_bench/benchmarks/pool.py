"""max_pool2d, avg_pool2d and roi_pool."""

from itertools import product

import numpy as np

from . import LARGE, MIDDLE, SMALL, Operator

WINDOWS = {
    "k2 stride 1": {"kernel_size": 2, "stride": 1},
    "k2": {"kernel_size": 2},
    "k3 stride 2": {"kernel_size": 3, "stride": 2, "padding": 1},
    "k3 stride 1": {"kernel_size": 3, "stride": 1, "padding": 1},
}
SHAPES = (SMALL, MIDDLE, LARGE)
CASES = {f"{name}, {shape}": (shape, window) for (name, window), shape in product(WINDOWS.items(), SHAPES)}
WITH_INDICES = {f"k2 with indices, {MIDDLE}": (MIDDLE, {"kernel_size": 2, "return_indices": True})}
BOXES = {"256 channels, 512 boxes": ((2, 256, 50, 68), (512, 5), {"output_size": 7, "spatial_scale": 1 / 16})}


class MaxPool2d(Operator, cases=CASES | WITH_INDICES):
    def call(self, ops, x, **window):
        return ops.max_pool2d(x, **window)

    def time_max_pool2d(self, library, case):
        self.run()


class AvgPool2d(Operator, cases=CASES):
    def call(self, ops, x, **window):
        return ops.avg_pool2d(x, **window)

    def time_avg_pool2d(self, library, case):
        self.run()


class RoiPool(Operator, cases=BOXES):
    """torch itself has no roi_pool, so this class has no second line."""

    def setup(self, library, case):
        if library == "torch":
            raise NotImplementedError("torch has no roi_pool")
        super().setup(library, case)

    def arrays(self, x, boxes):
        rng = np.random.default_rng(0)
        corners = np.sort(rng.uniform(0, 800, (boxes[0], 2, 2)), axis=1).reshape(-1, 4)
        image = rng.integers(0, x[0], (boxes[0], 1))
        return rng.standard_normal(x).astype(self.dtype), np.concatenate([image, corners], axis=1).astype(self.dtype)

    def call(self, ops, x, boxes, **options):
        return ops.roi_pool(x, boxes, **options)

    def time_roi_pool(self, library, case):
        self.run()
