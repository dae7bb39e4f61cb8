"""Normalisation, softmax, and dropout, which is nothing in inference."""

from math import prod
from typing import Any

import numpy as np

from ... import _shapes
from ...norm import batch_norm
from ..graph import Constants, Node
from .table import Call, Filling, Step, axis_of, operator


def _old_training(node: Node, constants: Constants) -> str:
    return "training before opset 14" if node.attributes.get("old_training") else ""


@operator("BatchNormalization", refused=_old_training)
def make_batch_norm(call: Call) -> Step:
    """batch_norm; in training the outputs 1 and 2 are the new running statistics."""
    eps = float(call.attribute("epsilon", 1e-5))
    if not call.attribute("training_mode", 0):
        return lambda x, scale, bias, mean, var: batch_norm(x, mean, var, scale, bias, eps=eps)
    momentum, outputs = float(call.attribute("momentum", 0.9)), len(call.node.outputs)
    xp, axes = call.xp, (0, *range(2, len(call.shape())))

    def train(x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
        y = batch_norm(x, None, None, scale, bias, training=True, eps=eps)
        kept, share = mean.dtype.type(momentum), mean.dtype.type(1 - momentum)
        seen = xp.mean(x, axes, dtype="float64"), xp.var(x, axes, dtype="float64")  # the biased variance
        new = [kept * old + share * now.astype(old.dtype) for old, now in zip((mean, var), seen, strict=True)]
        return (y, *new)[:outputs]

    return train


@operator("InstanceNormalization")
def make_instance_norm(call: Call) -> Step:
    """batch_norm of each image's planes, as if they were so many channels."""
    shape, xp, eps = call.shape(), call.xp, float(call.attribute("epsilon", 1e-5))
    n, c, plane = shape[0], shape[1], prod(shape[2:])

    def run(x: Any, scale: Any, bias: Any) -> Any:
        if plane == 1:
            return x * 0 + bias.reshape(1, c, *[1] * (len(shape) - 2))
        each = xp.tile(scale, n), xp.tile(bias, n)
        y = batch_norm(x.reshape(1, n * c, plane), None, None, *each, training=True, eps=eps)
        return y.reshape(shape)

    return run


@operator("LayerNormalization")
def make_layer_norm(call: Call) -> Step:
    """batch_norm of rows, each as if it were a channel."""
    shape, xp, eps = call.shape(), call.xp, float(call.attribute("epsilon", 1e-5))
    axis = axis_of(int(call.attribute("axis", -1)), len(shape))
    rows, columns = prod(shape[:axis]), prod(shape[axis:])
    outputs = call.node.outputs
    told = (*shape[:axis], *[1] * (len(shape) - axis))
    rowwise = all(call.shape(i) in ((), (1,), shape[-1:]) for i in range(1, len(call.arrays)) if call.has(i))
    if xp is np and rowwise and columns > 1 and len(outputs) == 1 and call.is_float():

        def fill(out: Any, x: Any, scale: Any, bias: Any = None) -> None:
            flat = (1, rows, columns)
            batch_norm(x.reshape(flat), None, None, training=True, eps=eps, out=out.reshape(flat))
            np.multiply(out, scale, out=out)
            if bias is not None:
                np.add(out, bias, out=out)

        return Filling(call.on, shape, call.dtype(), fill)

    def run(x: Any, scale: Any, bias: Any = None) -> Any:
        if columns == 1:
            y = x * 0
        else:
            y = batch_norm(x.reshape(1, rows, columns), None, None, training=True, eps=eps).reshape(shape)
        y = y * scale
        if bias is not None:
            y += bias
        if len(outputs) == 1:
            return y
        flat = x.reshape(rows, columns)
        mean, var = xp.mean(flat, 1, dtype="float64"), xp.var(flat, 1, dtype="float64")
        more = mean, 1 / xp.sqrt(var + eps)
        return (y, *(each.astype(x.dtype).reshape(told) for each in more))[: len(outputs)]

    return run


@operator("GroupNormalization")
def make_group_norm(call: Call) -> Step:
    """batch_norm of each image's groups of channels."""
    shape, eps, groups = call.shape(), float(call.attribute("epsilon", 1e-5)), int(call.attribute("num_groups", 1))
    n, c = shape[:2]
    if c % groups:
        raise ValueError(f"num_groups expects a divisor of the input's {c} channels, got {groups}")

    def run(x: Any, scale: Any, bias: Any) -> Any:
        y = batch_norm(x.reshape(1, n * groups, prod(shape[1:]) // groups), None, None, training=True, eps=eps)
        repeat = c // scale.size  # opset 18 has one number for each group
        one = (1, c, *[1] * (len(shape) - 2))
        return y.reshape(shape) * scale.repeat(repeat).reshape(one) + bias.repeat(repeat).reshape(one)

    return run


@operator("LRN")
def make_lrn(call: Call) -> Step:
    """x / (bias + alpha / size * the sum of squares of neighbouring channels) ** beta."""
    xp, kind, channels = call.xp, call.dtype().type, call.shape()[1]
    size = int(call.attribute("size"))
    alpha, beta, bias = (
        float(call.attribute(name, default)) for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    if size < 1:
        raise ValueError(f"size expects at least 1, got {size}")
    before, after = (min(each, channels - 1) for each in ((size - 1) // 2, size // 2))

    def run(x: Any) -> Any:
        squares = x * x
        sums = xp.zeros_like(x)
        for step in range(-before, after + 1):
            to, source = slice(max(0, -step), channels - max(0, step)), slice(max(0, step), channels + min(0, step))
            if to.start < to.stop:
                sums[:, to] += squares[:, source]
        return x / (kind(bias) + kind(alpha / size) * sums) ** kind(beta)

    return run


@operator("Softmax", "LogSoftmax")
def make_softmax(call: Call) -> Step:
    """softmax along one dimension; before opset 13 all from the axis on are one."""
    on, shape = call.on, call.shape()
    fill = {"Softmax": on.softmax.softmax, "LogSoftmax": on.softmax.log_softmax}[call.node.op_type]
    axis = int(call.attribute("axis", -1))
    if not call.is_float():
        raise ValueError(f"expects dtype float32 or float64, got {call.dtype()}")
    if not call.attribute("flattens"):
        view = _shapes.around_dim(call.node.op_type, shape, axis_of(axis, len(shape)) if shape else 0)
    else:
        axis = axis if axis == len(shape) else axis_of(axis, len(shape))
        view = _shapes.around_dim(call.node.op_type, (prod(shape[:axis]), prod(shape[axis:])), 1)
    return Filling(on, shape, call.dtype(), lambda out, x: fill(out, x, view))


def _training(node: Node, constants: Constants) -> str:
    ratio, training = ((*node.inputs, "", "")[i] for i in (1, 2))
    trains = training in constants and constants[training].any()
    return "training_mode" if trains and (ratio not in constants or constants[ratio].any()) else ""


@operator("Dropout", refused=_training)
def make_dropout(call: Call) -> Step:
    """The input itself, and a mask that drops nothing; it never runs in training."""
    if call.has(2) and bool(call.host(2)) and not (call.has(1) and float(call.host(1)) == 0):
        raise NotImplementedError("training_mode expects false, or a ratio of 0: networks run in inference")
    if len(call.node.outputs) == 1:
        return lambda x, *more: x
    xp = call.xp
    return lambda x, *more: (x, xp.ones(x.shape, "bool"))
