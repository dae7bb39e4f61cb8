"""Sequential."""

from collections.abc import Iterator, Mapping

from .._arrays import Array
from .module import Module


class Sequential(Module):
    """Layers one after the other, named by their places.

    Parameters
    ----------
    *layers : Module
        Or one mapping of names to layers.

    Examples
    --------
    >>> from fastops import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2))
    >>> model
    Sequential(
      (0): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))
      (1): ReLU()
      (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    )
    >>> list(model.state_dict())
    ['0.weight', '0.bias']
    >>> model[0].weight
    Parameter(shape=(6, 1, 5, 5), dtype=float32)
    """

    def __init__(self, *layers: Module | Mapping[str, Module]) -> None:
        given = layers[0] if len(layers) == 1 else None
        named = given.items() if isinstance(given, Mapping) else ((str(i), layer) for i, layer in enumerate(layers))
        for name, layer in named:
            self._add(name, layer)

    def _add(self, name: str, layer: object) -> None:
        if not isinstance(layer, Module):
            raise TypeError(f"Sequential: layer {name} expects a Module, got {type(layer).__name__}")
        if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
            raise KeyError(f"Sequential: the name of a layer expects a new word without dots, got {name!r}")
        inside = {id(module) for _, module in layer.named_modules()}
        if any(id(module) in inside for _, module in self.named_modules()):
            raise ValueError(
                f"Sequential: layer {name} expects an object of its own, got one that the network has already;"
                " a layer remembers one forward call"
            )
        setattr(self, name, layer)

    def append(self, layer: Module) -> "Sequential":
        """Put a layer at the end; returns the Sequential itself."""
        self._add(str(len(self)), layer)
        return self

    def __iter__(self) -> Iterator[Module]:
        return (layer for _, layer in self.named_children())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, place: int | slice) -> Module:
        if isinstance(place, slice):
            return Sequential(dict(list(self.named_children())[place]))
        return list(self)[place]

    def forward(self, input: Array) -> Array:
        for layer in self:
            input = layer(input)
        return input

    def backward(self, grad_output: Array) -> Array:
        for layer in reversed(list(self)):
            grad_output = layer.backward(grad_output)
        return grad_output
