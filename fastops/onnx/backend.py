"""fastops as a backend of ONNX, as its own tests ask for one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper
from onnx.backend import base

from .network import Network, load


class Prepared(base.BackendRep):
    """A network that takes its inputs in a list."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs of a call, in a tuple; inputs in the graph's order, or by name, and numbers for arrays of one."""
        if not isinstance(inputs, (list, tuple, dict)):
            inputs = [inputs]
        try:
            if isinstance(inputs, dict):
                outputs = self.network(**{name: _array(each) for name, each in inputs.items()})
            else:
                outputs = self.network(*map(_array, inputs))
        except NotImplementedError as trouble:
            raise _declined(trouble) from trouble
        return outputs if isinstance(outputs, tuple) else (outputs,)


def _array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.generic) else value


class Backend(base.Backend):
    """The interface of `onnx.backend.base.Backend`: CPU alone.

    A model that fastops cannot run is declined: the error is a NotImplementedError, and one by which ONNX's tests know
    that a backend is not supposed to implement something.
    """

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether the network's operators are all there."""
        try:
            load(model)
        except NotImplementedError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """The network, ready to run."""
        if not cls.supports_device(device):
            raise ValueError(f"Backend: device expects 'CPU', got {device!r}")
        try:
            return Prepared(load(model))
        except NotImplementedError as trouble:
            raise _declined(trouble) from trouble

    @classmethod
    def run_node(
        cls, node: NodeProto, inputs: Any, device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None, **kwargs: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        """The outputs of one node."""
        arrays = [np.asarray(each) for each in inputs]
        names = [name for name in node.input if name]
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        made = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        opset = helper.make_opsetid("", kwargs.get("opset_version", 22))
        model = helper.make_model(helper.make_graph([node], "node", given, made), opset_imports=[opset])
        return cls.prepare(model, device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether the device is the CPU: CuPy's arrays go to the network itself."""
        return base.Device(device).type == base.DeviceType.CPU


def _declined(trouble: NotImplementedError) -> Exception:
    from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt  # it imports all of ONNX's tests

    kind = type("Declined", (NotImplementedError, BackendIsNotSupposedToImplementIt), {})
    declined: Exception = kind(*trouble.args)
    return declined
