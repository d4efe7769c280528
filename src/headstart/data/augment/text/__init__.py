"""Augmentations of texts: a ``str`` in and out. Words are what white space parts; a text of one word stays as it is."""
