"""Augmentations of recordings: a ``Sound`` in and out, at its own rate."""
