"""Evaluation: what a model is worth on samples it never saw, and whether its pretrained start helped."""
