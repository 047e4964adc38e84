"""The standard library against torch."""
