"""Laws over the catalogue of operations."""
