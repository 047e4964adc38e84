"""Measurements: run each module with `python -m benchmarks.NAME`."""
