"""Augmentations of pictures: uint8 of shape (height, width, 3) in and out."""
