"""Adaptation to a target with a guard: candidates, evidence without target labels, and a rule that may keep source-only."""
