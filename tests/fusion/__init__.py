"""Plans, traffic, save-or-recompute."""
