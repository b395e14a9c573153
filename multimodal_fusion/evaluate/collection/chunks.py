"""A data set cut into chunks of pairs that can be measured each on its own."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UserError
from ...io.datasets import PairFiles, find_pairs
from ...io.places import place

PAIRS = 100  # of a chunk


@dataclass(frozen=True)
class Chunk:
    """Pairs of a data set, in order of stem: from ``first`` up to ``last``, itself left out.

    source: the data set as it was named. mark: as of `tasks.Survey`. count: of its pairs, when it
    was looked at.
    """

    source: str
    mark: str
    number: int
    first: int
    last: int
    count: int

    def pairs(self) -> list[PairFiles]:
        """Raises UserError where the data set is another one by now."""
        found = find_pairs(place(self.source)).pairs
        if len(found) != self.count:
            raise UserError(
                f'{self.source} had {self.count} pairs and has {len(found)} now: give another --out'
            )
        return found[self.first : self.last]


def chunks_of(source: str, mark: str) -> tuple[tuple[Chunk, ...], list[str]]:
    """The chunks of a data set, and the stems that have no partner. Raises UserError."""
    found = find_pairs(place(source))
    count = len(found.pairs)
    chunks = tuple(
        Chunk(source, mark, number, first, min(first + PAIRS, count), count)
        for number, first in enumerate(range(0, count, PAIRS))
    )
    return chunks, found.alone
