"""The operators in torch, tensors in and out, under fastops' names and arguments, for torch.autograd."""

import oracle
import torch
import torch.nn.functional as F


def conv2d(input, weight, bias, stride, padding, dilation, groups):
    if oracle.uneven(padding):
        (top, bottom), (left, right) = padding
        input, padding = F.pad(input, (left, right, top, bottom)), 0
    if padding == "same":  # torch has no 'same' with a stride
        span = [d * (k - 1) + 1 for d, k in zip(oracle.pair(dilation), weight.shape[2:], strict=True)]
        (top, bottom), (left, right) = oracle.conv_padding("same", input.shape[-2:], span, oracle.pair(stride))
        input, padding = F.pad(input, (left, right, top, bottom)), 0
    return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


def whole_windows(input, kernel, stride, padding, dilation, ceil_mode, value):
    """The input with all that its windows hold around it, ``value``."""
    margins = []
    for i in (1, 0):
        (before, _), size, step = padding[i], input.shape[i - 2], stride[i]
        count = oracle.pooled_size(size, kernel[i], step, padding[i], dilation[i], ceil_mode)
        margins += [before, (count - 1) * step + dilation[i] * (kernel[i] - 1) + 1 - size - before]
    return F.pad(input, margins, value=value)


def max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    if not oracle.uneven(padding):
        return F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    kernel, dilation = oracle.pair(kernel_size), oracle.pair(dilation)
    stride = kernel if stride is None else oracle.pair(stride)
    padded = whole_windows(input, kernel, stride, padding, dilation, ceil_mode, -torch.inf)
    return F.max_pool2d(padded, kernel, stride, 0, dilation)


def avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    if not oracle.uneven(padding):
        return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    kernel = oracle.pair(kernel_size)
    stride = kernel if stride is None else oracle.pair(stride)
    windows = kernel, stride, padding, (1, 1), ceil_mode
    (top, bottom), (left, right) = padding
    counts = F.pad(torch.ones(1, *input.shape[-2:]), (left, right, top, bottom), value=float(count_include_pad))
    room = whole_windows(input, *windows, 0).shape[-2:]
    counts = F.pad(counts, (0, room[1] - counts.shape[-1], 0, room[0] - counts.shape[-2]))
    sums = F.avg_pool2d(whole_windows(input, *windows, 0), kernel, stride, divisor_override=1)
    counts = F.avg_pool2d(counts, kernel, stride, divisor_override=1)
    return sums / (counts if divisor_override is None else divisor_override)


flatten = torch.flatten
clamp = torch.clamp


def softmax_cross_entropy_with_logits(logits, labels, reduction):
    return F.cross_entropy(logits, labels, reduction=reduction)


def __getattr__(name):
    """All others are the same in torch."""
    return getattr(F, name)
