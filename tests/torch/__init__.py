"""Functions as torch operators."""
