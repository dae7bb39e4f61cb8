"""Vectors of the CPU's own width: ``emit`` writes LLVM code with them, ``values`` are what kernels compute with."""
