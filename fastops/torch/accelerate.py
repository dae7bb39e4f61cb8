"""accelerate and restore: the layers of a torch model changed to ours in place, and back.

A layer keeps everything that it has and changes its class, to a subclass made for it: of one of layers.py and the
layer's own class, whose name it bears.  So isinstance, parameters, hooks and state_dict are as before; pickle and
deepcopy make the class anew where they need it.
"""

import copyreg
import inspect
from functools import cache
from typing import Any

import torch
from torch import fx, nn

from .layers import LAYERS, Conv2d, ConvTranspose2d, forget
from .planned import Planned, forget_plan, plan

_OVERRIDABLE = ("forward", "__call__", "_conv_forward", "_check_input_dim", "_output_padding")


def accelerate(model: Any, *, frozen: bool = False) -> Any:
    """Change the layers of a torch model to those of fastops, in place.

    Parameters
    ----------
    model : torch.nn.Module
        Its layers of classes that fastops knows are changed, and subclasses of them that have no forward of their own;
        all others are left, and so is what is parametrized, lazy or scripted.
    frozen : bool
        The caller promises not to change the weights until `restore`.  Then, in evaluation and without gradients,
        weights are prepared once, and convolutions take in batch norms, sums and activations that follow them, where
        torch.fx can trace the model, or a part of it.

    Returns
    -------
    torch.nn.Module
        The model itself.

    Raises
    ------
    TypeError
        The model is no torch.nn.Module.

    Notes
    -----
    Parameters, buffers, hooks, state_dict, train and eval, deepcopy, pickle and isinstance are as before.  Tensors that
    are not on a CPU, or of another dtype than float32 and float64, and calls within autocast, go to torch.  Without
    ``frozen`` nothing is kept of the weights from one call to the next.  With it what torch itself changes, as
    an optimizer or load_state_dict do, is seen, too; what is written through ``.data`` or NumPy is not.  A model in
    training is traced at its first call in evaluation, while no other thread may call a module of torch; one that is in
    evaluation already is traced here.

    Examples
    --------
    >>> import torch, fastops.torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()).eval()
    >>> model = fastops.torch.accelerate(model, frozen=True)
    >>> with torch.no_grad():
    ...     model(torch.ones(1, 3, 16, 16)).shape
    torch.Size([1, 8, 14, 14])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"accelerate: model expects a torch.nn.Module, got {type(model).__name__}")
    if frozen is not True and frozen is not False:
        raise ValueError(f"accelerate: frozen expects True or False, got {frozen!r}")
    restore(model)
    for layer in _layers(model):
        room = _room(layer)
        if room is not None:
            _change(layer, room, frozen)
    if frozen:
        for layer in _layers(model):
            if _composed(layer):
                _change(layer, Planned, True)
        plan(model)
    return model


def restore(model: Any) -> Any:
    """Undo `accelerate`, in place.

    Parameters
    ----------
    model : torch.nn.Module
        Accelerated or not.

    Returns
    -------
    torch.nn.Module
        The model itself, its layers of the classes that they had.

    Raises
    ------
    TypeError
        The model is no torch.nn.Module.

    Examples
    --------
    >>> import torch, fastops.torch
    >>> model = fastops.torch.accelerate(torch.nn.Conv2d(3, 8, 3))
    >>> type(fastops.torch.restore(model)) is torch.nn.Conv2d
    True
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"restore: model expects a torch.nn.Module, got {type(model).__name__}")
    for layer in model.modules():
        cls = type(layer)
        if "_accelerated" in vars(cls):
            layer.__class__ = cls._accelerated[0]
        elif getattr(cls, "_accelerated", None):  # a class that parametrize has made of ours since
            cls.__bases__ = tuple(vars(base).get("_accelerated", (base,))[0] for base in cls.__bases__)
        forget(layer)
        forget_plan(layer)
    return model


def _layers(module: nn.Module) -> list[nn.Module]:
    """The modules of a model, but what is within those that are scripted."""
    if isinstance(module, torch.jit.ScriptModule):
        return []
    found = {id(module): module}
    for child in module.children():
        found |= {id(each): each for each in _layers(child)}
    return list(found.values())


def _room(layer: nn.Module) -> type | None:
    """The class of layers.py for a layer, if it is one that works as torch.nn's does."""
    cls = type(layer)
    base = _known(cls)
    if base is None or "forward" in vars(layer) or isinstance(layer, nn.modules.lazy.LazyModuleMixin):
        return None
    if nn.utils.parametrize.is_parametrized(layer):
        return None
    same = all(getattr(cls, name, None) is getattr(base, name, None) for name in _OVERRIDABLE)
    return LAYERS[base] if same else None


def _composed(layer: nn.Module) -> bool:
    """Whether a module is made of others, among them convolutions of ours, by code that a plan may replace."""
    cls = type(layer)
    if "_accelerated" in vars(cls) or "forward" in vars(layer) or cls.forward is nn.Module.forward:
        return False
    torchs = cls.__module__.partition(".")[0] == "torch" and cls is not nn.Sequential  # a wrapper of some kind
    if not isinstance(layer, fx.GraphModule) and (torchs or cls.__call__ is not nn.Module.__call__):
        return False
    return any(isinstance(each, (Conv2d, ConvTranspose2d)) for each in layer.modules())


def _change(layer: nn.Module, room: Any, frozen: bool) -> None:
    cls: Any = type(layer)
    try:
        layer.__class__ = _class(cls, room, frozen)
    except TypeError:  # its memory has another layout, or it cannot be a base: it is left
        return


@cache
def _class(original: Any, room: Any, frozen: bool) -> Any:
    """The class of an accelerated layer."""

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        """Pickle and deepcopy keep the layer's own class, and how ours is made of it."""
        made, args, *state = super(cls, self).__reduce_ex__(protocol)
        if type(self) is not cls or made is not copyreg.__newobj__:  # type: ignore[attr-defined]
            return made, args, *state
        return _new, (original, frozen, *args[1:]), *state

    def __prepare_scriptable__(self: Any) -> Any:
        """What torch.jit.script asks for, before it fails at a forward of ours."""
        what = f"an accelerated {original.__name__}"
        raise RuntimeError(f"torch.jit.script cannot compile {what}; call fastops.torch.restore on the model first")

    names = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        "__reduce_ex__": __reduce_ex__,
        "__prepare_scriptable__": __prepare_scriptable__,
        "_accelerated": (original,),
        "frozen": frozen,
    }
    if room is Planned:

        def forward(self: Any, *inputs: Any, **options: Any) -> Any:
            return Planned.forward(self, *inputs, **options)

        forward.__signature__ = inspect.signature(original.forward)  # type: ignore[attr-defined]
        names["forward"] = forward
    cls: Any = type(original.__name__, (room, original), names)
    return cls


def _new(original: type, frozen: bool, *args: Any) -> Any:
    """A layer of an accelerated class, as pickle begins it."""
    base = _known(original)
    cls: Any = _class(original, Planned if base is None else LAYERS[base], frozen)
    return cls.__new__(cls, *args)


def _known(cls: type) -> type | None:
    """The class of torch.nn that fastops knows, among the bases of this one."""
    return next((each for each in cls.__mro__ if each in LAYERS), None)
