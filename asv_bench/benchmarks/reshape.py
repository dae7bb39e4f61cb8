"""flatten, as a view and as a copy, and the gradients."""

from . import operator


class Flatten(operator("flatten")):
    pass


class FlattenBackward(operator("flatten", backward=True)):
    pass
