"""Tests: laws over tables, golden texts, and cross-checks against independent references."""
