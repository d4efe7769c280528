"""Metrics: pure functions on arrays, one file for each family of tasks."""
