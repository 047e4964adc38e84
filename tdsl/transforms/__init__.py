"""Transforms: each a function from IR to IR."""
