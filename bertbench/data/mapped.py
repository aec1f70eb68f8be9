"""Arrays that lie on disk in, their pages out of memory: what was read of a large corpus is let go."""

import mmap

import numpy as np


def release(*arrays: np.ndarray) -> None:
    """Let go of the pages that were read of memory-mapped arrays; they are read again when needed.

    The system would drop them where memory is short, but until then they count as the process's own, and a
    limit on its memory would end it. An array that is no map, or one on a system without the call, stays.
    """
    for array in arrays:
        pages = getattr(array, "_mmap", None)
        if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
