"""Words and pairs of words, weighted by how rare they are."""

from __future__ import annotations

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.modalities.text import Text

NAME = "words"
TITLE = "a linear model on word counts"
WHAT = "tf-idf of words and pairs of words"
MOST = 8192  # columns; the most frequent ones are kept, and the matrix is dense


def matrices(train: Dataset, test: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(n, at most MOST) float32 tf-idf, rows of length 1; the vocabulary is that of the training texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    modality = Text()
    texts = [[str(modality.decode(item)) for item in part.items] for part in (train, test)]
    # single letters are words, too: in Chinese, and among emoticons
    counter = TfidfVectorizer(
        ngram_range=(1, 2), max_features=MOST, sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]", dtype=np.float32
    )
    fitted = counter.fit_transform(texts[0]).toarray()
    return fitted, counter.transform(texts[1]).toarray()
