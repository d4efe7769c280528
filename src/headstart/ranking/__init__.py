"""Ranking: which pretrained model suits the data, judged before any of them is trained."""
