"""Fusion: from a flat graph to a Plan of few kernels that move the fewest bytes."""
