"""A tokenised corpus in, a static vector for each token of the vocabulary out: PPMI, factorised."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from bertbench.data.excerpts import excerpts
from bertbench.data.mapped import release
from bertbench.errors import UserError
from bertbench.types import Tokens, Vocabulary

MOST = 2**24  # tokens that are counted, about; see `excerpts` for which
AT_ONCE = 2**20  # tokens whose neighbours are counted at once, or one document
ITERATIONS = 4  # of the randomised decomposition


def factors(
    tokens: Tokens,
    documents: np.ndarray,
    vocabulary: Vocabulary,
    *,
    width: int,
    window: int,
    smoothing: float,
    eigenvalues: float,
    seed: int,
) -> np.ndarray:
    """Factorise how much more often tokens stand near each other than chance would have it.

    Positive pointwise mutual information, decomposed: Levy and Goldberg (2014), "Neural word embedding as
    implicit matrix factorization", section 4.2; weights by distance, smoothed contexts and the power of
    the eigenvalues: Levy, Goldberg and Dagan (2015), https://aclanthology.org/Q15-1016, sections 3.1 to 3.3.

    Args:
        tokens: The corpus; may be memory-mapped. What is counted are `excerpts` of MOST tokens: a part of
            one with more, or with very many documents, and the beginnings of documents that are long.
        documents: int64: which of its documents are read.
        vocabulary: Says which ids are special.
        width: D, numbers of a vector.
        window: Tokens on either side that count as near; those further off weigh less, linearly.
        smoothing: Power of the context counts, in (0, 1].
        eigenvalues: Power of the eigenvalues, in [0, 1].
        seed: Of the randomised decomposition.

    Returns:
        float32, (V, D); rows of special tokens, and of those that stand near no other more often than
        chance would have it, are zero. The same bits whatever the number of threads.

    Raises:
        UserError: A setting is out of its range.
    """
    _check(window=window, smoothing=smoothing, eigenvalues=eigenvalues)
    information = ppmi(near(tokens, documents, vocabulary, window=window), smoothing=smoothing)
    rank = min(width, vocabulary.size)
    with threadpool_limits(limits=1, user_api="blas"):  # which add in another order than one does
        left, sizes, _ = randomized_svd(information, rank, n_iter=ITERATIONS, random_state=seed)  # pyright: ignore[reportArgumentType]
    vectors = np.zeros((vocabulary.size, width), dtype=np.float32)
    vectors[:, :rank] = left * sizes**eigenvalues
    vectors[np.diff(information.indptr) == 0] = 0  # else the dust of the decomposition
    return vectors


def near(
    tokens: Tokens, documents: np.ndarray, vocabulary: Vocabulary, *, window: int
) -> sparse.csr_matrix:
    """Count which ordinary tokens stand near which, inside a document: symmetric, float64, (V, V)."""
    some, chosen = excerpts(tokens, documents, MOST)
    size = vocabulary.size
    special = np.zeros(size, dtype=bool)
    special[list(vocabulary.special)] = True
    counts = sparse.csr_matrix((size, size))
    for ids, owner in _streams(some, chosen):
        ordinary = ~special[ids]
        rows, columns, weights = [], [], []
        for distance in range(1, window + 1):
            first, second = ids[:-distance], ids[distance:]
            same = owner[:-distance] == owner[distance:]
            kept = same & ordinary[:-distance] & ordinary[distance:]
            rows.append(first[kept])
            columns.append(second[kept])
            weights.append(np.full(int(kept.sum()), (window + 1 - distance) / window))
        place = (np.concatenate(rows), np.concatenate(columns))
        counts = counts + sparse.coo_matrix((np.concatenate(weights), place), (size, size)).tocsr()
        release(*tokens)
    return sparse.csr_matrix(counts + counts.T)


def ppmi(counts: sparse.csr_matrix, *, smoothing: float) -> sparse.csr_matrix:
    """Return max(0, log P(a, b) / (P(a) P'(b))) of counts (V, V), where P' is smoothed.

    Source: Levy, Goldberg and Dagan (2015), sections 2.1 and 3.2.
    """
    found = counts.tocoo()
    total = found.data.sum()
    if not total:
        return counts
    own = np.asarray(counts.sum(1)).reshape(-1)
    context = own**smoothing
    context /= context.sum()
    value = np.log(found.data / (own[found.row] * context[found.col]))  # total cancels out
    kept = value > 0
    return sparse.csr_matrix(
        (value[kept].astype(np.float32), (found.row[kept], found.col[kept])), counts.shape
    )


def _streams(tokens: Tokens, documents: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield parts of the stream: int64 ids, and the document that each is of, both (about AT_ONCE,)."""
    ids: list[np.ndarray] = []
    owner: list[np.ndarray] = []
    size = 0
    for document in documents.tolist():
        first, last = tokens.documents[document : document + 2]
        begin, end = tokens.sentences[first], tokens.sentences[last]
        ids.append(np.asarray(tokens.ids[begin:end], dtype=np.int64))
        owner.append(np.full(len(ids[-1]), document))
        size += len(ids[-1])
        if size >= AT_ONCE:
            yield np.concatenate(ids), np.concatenate(owner)
            ids, owner, size = [], [], 0
    if ids:
        yield np.concatenate(ids), np.concatenate(owner)


def _check(*, window: int, smoothing: float, eigenvalues: float) -> None:
    if window < 1 or not 0 < smoothing <= 1 or not 0 <= eigenvalues <= 1:
        raise UserError(
            f"embeddings.window={window} must be at least 1, embeddings.smoothing={smoothing} must lie in "
            f"(0, 1], embeddings.eigenvalues={eigenvalues} in [0, 1]"
        )
