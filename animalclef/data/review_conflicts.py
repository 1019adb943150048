"""Find answers about pairs that contradict each other, or the names in the table."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from animalclef.structures.reviewed import Conflict, ReviewedPairs

__all__ = ["SameGraph", "consistent_pairs"]

Pair = tuple[str, str]


def consistent_pairs(same: Iterable[Pair], different: Iterable[Pair], name_of: Mapping[str, Hashable]) -> ReviewedPairs:
    """Separate the answers that agree with each other from those that do not.

    `name_of` gives the individual of named photographs: those of one name are the same animal, those of two names are
    not. Each conflict is reported by its shortest chain.

    >>> found = consistent_pairs([("a", "b"), ("b", "c"), ("c", "d")], [("a", "c")], {})
    >>> found.same, found.different, [one.chain for one in found.conflicts]
    ((('c', 'd'),), (), [('a', 'b', 'c')])
    """
    links = SameGraph(dict.fromkeys(same), name_of)
    conflicts: list[Conflict] = []
    kept = []
    for first, second in dict.fromkeys(different):
        agreed = True
        while chain := links.chain(first, second):
            agreed = False
            conflicts.append(Conflict(tuple(chain), "answer"))
            if not links.drop(chain):
                break
        if agreed:
            kept.append((first, second))
    for start in [one for one in links.photographs if one in name_of]:
        while chain := links.chain_to_other_name(start):
            conflicts.append(Conflict(tuple(chain), "name"))
            links.drop(chain)
    return ReviewedPairs(tuple(links.same), tuple(kept), tuple(conflicts))


@dataclass
class SameGraph:
    """A graph of photographs that were called the same, and of names that join theirs."""

    same: dict[Pair, None]
    name_of: Mapping[str, Hashable] = field(default_factory=dict)
    beside: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    under: dict[Hashable, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for first, second in self.same:
            self.beside[first][second] = self.beside[second][first] = None
        for one, name in self.name_of.items():
            self.under[name].append(one)

    @property
    def photographs(self) -> list[str]:
        """Every photograph of a pair that was called the same."""
        return list(dict.fromkeys(one for pair in self.same for one in pair))

    def chain(self, first: str, second: str) -> list[str]:
        """Return the shortest chain from one photograph to another; empty where there is none."""
        return self._search(first, lambda one: one == second, across_names=True)

    def chain_to_other_name(self, first: str) -> list[str]:
        """Return the shortest chain of answers from a named photograph to one of another name."""
        own = self.name_of[first]
        return self._search(first, lambda one: one in self.name_of and self.name_of[one] != own, across_names=False)

    def drop(self, chain: Sequence[str]) -> bool:
        """Remove the answers along a chain; say whether there were any."""
        pairs = [pair for a, b in pairwise(chain) for pair in ((a, b), (b, a)) if pair in self.same]
        for a, b in pairs:
            del self.same[a, b]
            self.beside[a].pop(b, None)
            self.beside[b].pop(a, None)
        return bool(pairs)

    def _search(self, first: str, is_goal: Callable[[str], bool], *, across_names: bool) -> list[str]:
        before: dict[str, str] = {first: first}
        waiting = deque([first])
        while waiting:
            at = waiting.popleft()
            if at != first and is_goal(at):
                return _path(before, at)
            steps = list(self.beside.get(at, ()))
            if across_names and at in self.name_of:
                steps += self.under[self.name_of[at]]
            for step in steps:
                if step not in before:
                    before[step] = at
                    waiting.append(step)
        return []


def _path(before: Mapping[str, str], end: str) -> list[str]:
    path = [end]
    while before[path[-1]] != path[-1]:
        path.append(before[path[-1]])
    return path[::-1]
