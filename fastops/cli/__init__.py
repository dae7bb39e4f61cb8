"""The commands behind `fastops`, a module each: run, compare, report, info, warmup, clear-cache; and what they share.

They use packages that fastops itself does not need (torch, scikit-image, rich, matplotlib, Jinja2: the extra
`compare`; onnx and ONNX Runtime: `suite`). Each is imported where it is used, and the rest of fastops never imports
this subpackage.
"""

# By their own names: the name fastops belongs to another project in PyPI.
EXTRA = "pip install torch scikit-image matplotlib jinja2 rich"


class UsageError(Exception):
    """What was asked cannot be done; the command prints the sentence in it and exits with 2."""
