"""Did-you-mean: the word that was meant by one that is misspelled. Keys, words, options and attributes all use it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

LONGEST_SLIP = 2  # letters


def similar(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant: the same but for a slip or two, and for capitals, dashes and underscores.

    A suggestion that is wrong leads astray, so there is none where more than that would have to change.
    """
    given = _plain(word)
    best, least = None, LONGEST_SLIP + 1
    for each in words:
        known = _plain(each)
        shorter, longer = sorted((len(given), len(known)))
        most = min(1 if shorter <= 5 else LONGEST_SLIP, longer // 3)
        swapped = sorted(given) == sorted(known)
        if not swapped and (given[:1] != known[:1] or longer <= 3 == shorter):
            continue  # reload is not preload, and api not app: slips seldom are at the beginning
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
    """How many letters are wrong, missing, too many, or in the place of their neighbour (optimal string alignment)."""
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
