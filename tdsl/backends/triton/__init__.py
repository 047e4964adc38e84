"""Triton source: loading it, compiling it for a GPU that need not be there, reading what came out.

Triton is imported inside functions, so importing this package is free and needs no Triton.
"""
