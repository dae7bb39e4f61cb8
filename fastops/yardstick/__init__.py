"""The yardstick: what is called, on which arrays, what is right, and how it is timed.

operators.py is the table of the public functions; examples.py makes arrays for it, and calls.py its list of good calls,
which the tests and `fastops warmup` go through. cases.py and suite.py have what is timed; work.py, measure.py,
timing.py, limits.py, devices.py and targets.py time it, for `fastops compare` and asv_bench alike. networks.py has
whole networks, written as graphs.py writes them, for ONNX and torch; whole.py which of them are timed, and how.

asv_bench loads this folder from its own checkout, beside an older fastops: nothing here imports anything of fastops,
and what needs it is handed it, as `ops`.
"""
