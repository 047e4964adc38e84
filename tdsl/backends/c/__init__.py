"""Kernels as C, compiled by the system's compiler: see `printer`, `compiler` and `execute`."""
