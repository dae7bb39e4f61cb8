"""Whole models in torch: the time of an accelerated one as a share of the model's own, in one process, in turn.

A share of 0.5 is twice as fast as torch, above 1 is slower.  scripts/measure_torch_models.py gives each a process of
its own; here both pools of threads are in one, as they are in a user's.
"""

import copy
from operator import truediv

from . import YARDSTICK, Skip, imported, importlib

MODELS = ("resnet18", "mobilenet_v2", "unet", "dcgan")
WAYS = ("frozen, batch 1", "frozen, batch 8", "live, batch 1", "training, batch 8")


def module_of(name, torch):
    """One of fastops/yardstick/networks.py as a module."""
    networks = importlib.import_module(f"{YARDSTICK}.networks")
    graphs = importlib.import_module(f"{YARDSTICK}.graphs")
    return networks.NETWORKS[name], graphs.to_torch(networks.NETWORKS[name].graph(), torch)


class Model:
    params = (MODELS, WAYS)
    param_names = ("model", "way")
    timeout = 600
    edge = None  # of the images, in place of their own; tests take small ones

    def setup(self, name, way):
        torch = imported("torch")
        imported("fastops")
        try:
            ours = importlib.import_module("fastops.torch")
        except ImportError as error:
            raise Skip(f"fastops lacks it: {error}") from None
        kind, batch = way.split(", batch ")
        network, module = module_of(name, torch)
        inputs = [torch.from_numpy(each) for each in network.inputs(int(batch), self.edge)]
        torch.set_grad_enabled(kind == "training")
        modules = ours.accelerate(copy.deepcopy(module), frozen=kind == "frozen"), module
        self.calls = [self.call(torch, each.train(kind == "training"), inputs) for each in modules]
        for call in self.calls:
            call()

    @staticmethod
    def call(torch, module, inputs):
        if not module.training:
            return lambda: module(*inputs)
        optimizer = torch.optim.SGD(module.parameters(), 1e-6)

        def step():
            optimizer.zero_grad()
            module(*inputs).square().mean().backward()
            optimizer.step()

        return step

    def track_share(self, name, way):
        timing = importlib.import_module(f"{YARDSTICK}.timing")
        pairs = timing.timings(self.calls, timing.Effort(0.1, 0.1, 5.0))
        return timing.median(truediv(*pair) for pair in pairs)

    track_share.unit = "fastops / torch"
    track_share.pretty_name = "models: the time of an accelerated model / torch's"
