"""Did-you-mean suggestions for misspelled keys, words, options and attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

MAX_SLIPS = 2  # letters


def similar(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant, or None.

    It differs from the given one by a slip or two; case, dashes and underscores do not count. A wrong suggestion is
    worse than none, so anything further away is not suggested.
    """
    given = _plain(word)
    best, least = None, MAX_SLIPS + 1
    for each in words:
        known = _plain(each)
        shorter, longer = sorted((len(given), len(known)))
        most = min(1 if shorter <= 5 else MAX_SLIPS, longer // 3)
        swapped = sorted(given) == sorted(known)
        if not swapped and (given[:1] != known[:1] or longer <= 3 == shorter):
            continue  # reload is not preload, and api is not app: people rarely misspell the first letter
        if longer - shorter > most:
            continue
        slips = _slips(given, known)
        if slips <= most and slips < least:
            best, least = each, slips
    return best


@lru_cache(maxsize=512)
def _plain(word: str) -> str:
    return re.sub(r"[-_ /.]", "", word.lower())


def _slips(first: str, second: str) -> int:
    """The number of letters that are wrong, missing, extra or swapped (optimal string alignment distance)."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, mine in enumerate(first, 1):
        earlier, before, row = before, row, [i]
        for j, other in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (mine != other))
            if i > 1 and j > 1 and mine == second[j - 2] and first[i - 2] == other:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
