"""Networks by blocks of images that are too large for one piece: what `fastops.dask` takes of a network.

`pieces.py` says which rows make which, `rule.py` and the two files of its table which operators see windows alone,
`local.py` puts the network of a block together, `batch.py` looks at networks that need whole images.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from ..graph import Array, Graph
from ..inference import Spec, inferred
from . import pixels, windowed  # which fill the table of rules
from .batch import outputs_of
from .local import Local, Span, signature
from .rule import NotLocal

KINDS = 12
"""How many networks of blocks a process keeps: of the inside, the sides and the corners of an image."""

Run = Callable[..., Any]


class Blocks:
    """A network, ``graph``, on images of one size, by blocks.

    ``whole`` is a call of it, and ``of_block`` gives for the graph of a block (a call, what gives back its memory).
    Both go to workers with it.
    """

    def __init__(self, graph: Graph, whole: Run, of_block: Callable[[Graph], tuple[Run, Callable[[], None]]]) -> None:
        self.graph, self.whole, self.of_block = graph, whole, of_block
        self.name = graph.name
        self.outputs: list[Spec] = []
        self._inputs: list[Spec] = []
        self._lock = threading.Lock()
        self._found: Local | None = None
        self._networks: OrderedDict[Any, tuple[Run, Callable[[], None]]] = OrderedDict()

    def look(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any], planes: bool, batch: bool) -> None:
        """Find the outputs for inputs of these shapes, in chunks along height and width, along the batch, or neither.

        A ValueError says which node sees more than its chunks.
        """
        self._inputs, self._found = [Spec(tuple(each), dtype) for each, dtype in zip(shapes, dtypes, strict=True)], None
        try:
            if planes:
                self.outputs = self.local.outputs
            else:
                self.outputs = outputs_of(self.graph, self._inputs, batch, self._inferred)
        except NotLocal as trouble:
            axes, axis = ("height and width", "{2: -1, 3: -1}") if planes else ("the batch", "{0: -1}")
            expected = f"expects an array in one chunk along {axes}, as .rechunk({axis}) makes it"
            raise ValueError(f"{self.name}: {expected}, since {trouble}") from None

    @property
    def scales(self) -> list[tuple[Fraction, Fraction]]:
        """By how much each output has more rows and columns than the first input."""
        return self.local.scales

    def reads(self, axis: int, wanted: Sequence[Span]) -> list[Span]:
        """The rows (axis 0) or columns (1) of each input for those of each output."""
        return self.local.reads(axis, wanted)

    def __call__(self, arrays: Sequence[Array], rows: Sequence[Span], columns: Sequence[Span]) -> tuple[Array, ...]:
        """These rows and columns of each output, all where there are none, of what `reads` says."""
        outputs = (self._of_block(rows, columns) if rows else self.whole)(*arrays)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    @property
    def local(self) -> Local:
        with self._lock:
            if self._found is None:
                self._found = Local(self.graph, self._inputs)
            return self._found

    def _inferred(self, specs: dict[str, Spec]) -> Any:
        return inferred(self.graph, specs, "exact", {})

    def _of_block(self, rows: Sequence[Span], columns: Sequence[Span]) -> Run:
        """The network of a block, the same for all blocks alike; one of them keeps memory between its calls."""
        graph = self.local.block(rows, columns)
        key = signature(graph, self.local.graph.constants)
        with self._lock:
            if key not in self._networks:
                self._networks[key] = self.of_block(graph)
            self._networks.move_to_end(key)
            for other, (_, rest) in self._networks.items():
                if other != key:
                    rest()
            while len(self._networks) > KINDS:
                self._networks.popitem(last=False)
            return self._networks[key][0]

    def __getstate__(self) -> dict[str, Any]:
        return {"network": (self.graph, self.whole, self.of_block), "outputs": self.outputs, "inputs": self._inputs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["network"])  # type: ignore[misc]
        self.outputs, self._inputs = state["outputs"], state["inputs"]


__all__ = ["Blocks", "pixels", "windowed"]
