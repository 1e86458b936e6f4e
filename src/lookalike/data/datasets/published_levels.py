"""Coarser classes that papers made up for data sets that come without them."""

from __future__ import annotations

# Family of each of the 200 species of CUB-200-2011, in order: 38 numbers, as used by SupRank.
_CUB_FAMILY = """
    35 35 35 9 4 4 4 4 18 18 18 18 18 13 13 13 13 26 21 19 24 3 37 37 37 18 18 14 15 15 9 9 9
    16 16 33 30 30 30 30 30 30 30 38 36 1 16 16 18 34 34 34 34 13 16 16 13 4 5 5 5 5 5 5 5 5 2
    2 2 2 6 6 15 15 15 24 30 30 7 7 7 7 7 8 11 10 1 18 1 1 21 3 15 27 18 18 18 18 23 32 32 30
    30 22 3 4 15 15 23 9 20 20 24 24 24 24 24 25 24 24 24 24 24 24 24 24 24 24 24 24 24 24 24
    28 17 17 17 17 13 13 5 5 5 5 5 5 5 24 21 21 31 31 31 31 31 31 31 23 23 23 23 23 23 23 23
    23 23 23 23 23 23 23 23 23 23 23 23 23 23 23 23 23 23 23 12 12 33 33 33 33 33 33 29 29 29
    29 29 29 29 23
"""
CUB_FAMILY = tuple(int(code) for code in _CUB_FAMILY.split())

# Order of each of the 200 species: 13 numbers, as used by SupRank.
_CUB_ORDER = """
    12 12 12 6 4 4 4 4 8 8 8 8 8 8 8 8 8 8 8 8 8 3 13 13 13 8 8 8 8 8 6 6 6 8 8 10 8 8 8 8 8 8
    8 13 12 1 8 8 8 11 11 11 11 8 8 8 8 4 4 4 4 4 4 4 4 4 2 2 2 2 4 4 8 8 8 8 8 8 5 5 5 5 5 5
    8 7 1 8 1 1 8 3 8 8 8 8 8 8 8 9 9 8 8 8 3 4 8 8 8 6 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8
    8 8 8 8 8 8 8 8 8 8 8 4 4 4 4 4 4 4 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8
    8 8 8 8 8 8 8 8 8 8 8 8 10 10 10 10 10 10 8 8 8 8 8 8 8 8
"""
CUB_ORDER = tuple(int(code) for code in _CUB_ORDER.split())

# Body types of Cars196, by number from 1.
CAR_TYPES = (
    "cab",
    "convertible",
    "coupe",
    "hatchback",
    "minivan",
    "sedan",
    "SUV",
    "van",
    "wagon",
)

# Body type of each of the 196 models of Cars196, in order, as used by SupRank.
_CAR_TYPE = """
    7 6 6 6 6 3 4 2 3 2 3 2 3 3 3 6 6 9 4 6 2 3 6 6 3 6 2 3 6 9 2 7 7 3 6 2 7 2 2 6 6 3 3 6 2
    3 6 7 6 7 6 7 1 1 2 3 3 7 2 5 6 7 6 8 1 3 6 7 1 1 8 3 6 1 1 7 2 5 6 2 2 9 9 9 5 1 1 8 7 1
    1 9 3 7 7 6 6 4 3 2 3 2 2 3 6 1 2 5 7 7 1 3 1 1 6 9 6 7 8 7 7 1 2 1 1 5 5 3 6 4 7 7 7 6 6
    6 6 6 4 6 3 7 7 3 7 7 7 7 7 3 3 3 3 7 7 6 2 2 7 3 2 6 3 6 6 8 6 4 8 4 3 3 6 5 2 6 6 4 2 3
    6 6 4 6 6 7 6 6 7 4 4 4 4 6 7 2
"""
CAR_TYPE = tuple(int(code) for code in _CAR_TYPE.split())
