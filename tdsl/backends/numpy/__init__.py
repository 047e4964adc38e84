"""The tiled executor: a plan's kernels run by NumPy, part by part, in memory that stays in the cache."""
