"""Clusters of steps by what they say: for searches that want their nodes to differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

CLUSTERS = ("text", "tfidf")

Embedding: TypeAlias = Callable[[Sequence[str]], np.ndarray]
"""Texts to a vector for each, shape (K, dimensions), or to a label for each, shape (K,)."""


def cluster_labels(
    how: str | Embedding, texts: Sequence[str], *, distance: float = 0.05, count: int | None = None
) -> np.ndarray:
    """Put texts that say the same into one cluster.

    Args:
        how: "text", texts that are equal but for space around them; "tfidf", by the words that they
            share (needs scikit-learn); or a function to vectors or labels.
        texts: K of them.
        distance: cosine distance up to which vectors are linked, on average, into one cluster.
        count: clusters that are made of vectors instead, by k-means; None to link them.

    Returns:
        A number for each, from 0 in order of appearance; int64, shape (K,).

    Raises:
        ImportError: scikit-learn is needed and not installed.
        ValueError: the function gave something else.

    Example:
        >>> cluster_labels("text", ["so 3", " so 3", "so 4"])
        array([0, 0, 1])
    """
    if how == "text":
        return _numbered([text.strip() for text in texts])
    vectors = _tfidf(texts) if how == "tfidf" else _embedded(how, texts)
    if vectors.ndim == 1:
        return _numbered(vectors.tolist())
    if len(texts) == 1:
        return np.zeros(1, np.int64)
    # not at start-up: every user of samplers would wait for it
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.cluster.vq import kmeans2
    from scipy.spatial.distance import pdist

    if count is not None:
        most = min(count, len(np.unique(vectors, axis=0)))
        _, labels = kmeans2(np.asarray(vectors, np.float64), most, minit="++", rng=0)
        return _numbered(labels.tolist())
    # a text without any words is like no other
    distances = np.nan_to_num(pdist(vectors, "cosine"), nan=1.0)
    tree = linkage(np.maximum(distances, 0.0), "average")
    return _numbered(fcluster(tree, distance, "distance").tolist())


def _numbered(marks: Sequence[object]) -> np.ndarray:
    """Number marks in order of appearance."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(mark, len(numbers)) for mark in marks], np.int64)


def _tfidf(texts: Sequence[str]) -> np.ndarray:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        raise ImportError(
            "clusters='tfidf' needs scikit-learn: pip install 'motes[search]'"
        ) from None
    # single characters count: digits and operators are most of what a step says
    vectorizer = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]")
    try:
        return vectorizer.fit_transform(texts).toarray()
    except ValueError:  # no text has any word
        return np.zeros(len(texts))


def _embedded(how: str | Embedding, texts: Sequence[str]) -> np.ndarray:
    assert callable(how)
    vectors = np.asarray(how(texts))
    if vectors.ndim not in (1, 2) or len(vectors) != len(texts):
        raise ValueError(
            f"clusters must map {len(texts)} texts to as many vectors or labels, not to an array "
            f"of shape {vectors.shape}"
        )
    return vectors
