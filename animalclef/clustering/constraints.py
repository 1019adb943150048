"""What people said of pairs of photographs: one individual (must-link), or two (cannot-link)."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from animalclef.data.review_conflicts import SameGraph
from animalclef.errors import DataError

__all__ = ["NOTHING_SAID", "Constraints", "Forest", "constrained"]

Pair = tuple[str, str]


@dataclass(frozen=True)
class Constraints:
    """Pairs of image_ids, of queries or of database photographs, in any order."""

    must_link: Sequence[Pair] = ()
    cannot_link: Sequence[Pair] = ()

    def check(self, image_id: Iterable[str]) -> None:
        """Refuse pairs of photographs that the data do not have, and of one photograph with itself.

        Raises:
            DataError: a pair cannot be used.
        """
        known = set(image_id)
        for kind, pairs in (("must-link", self.must_link), ("cannot-link", self.cannot_link)):
            for one, other in pairs:
                if absent := [image for image in (one, other) if image not in known]:
                    raise DataError(f"{kind} {one} and {other}: the data have no photograph {absent[0]}.")
        for one, other in self.cannot_link:
            if one == other:
                raise DataError(f"cannot-link {one} and {one}: a photograph shows the same individual as itself.")


NOTHING_SAID = Constraints()


class Forest:
    """Components of numbered nodes that grow by joining; some pairs may never be in one component.

    A component has at most one name of a known individual, and a set of names that it never has.
    """

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))
        self.size = [1] * count
        self._name: dict[int, str] = {}
        self._shows: dict[str, int] = {}  # a node of the component that has the name
        self._apart: dict[int, set[int]] = defaultdict(set)
        self._never: dict[int, set[str]] = defaultdict(set)

    @property
    def count(self) -> int:
        """Return how many nodes there are."""
        return len(self._parent)

    def root(self, node: int) -> int:
        """Return the node that stands for the component."""
        while self._parent[node] != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node

    def name(self, node: int) -> str | None:
        """Return the known individual that the node's component shows."""
        return self._name.get(self.root(node))

    def may_join(self, one: int, other: int) -> bool:
        """Return whether two nodes are, or can come, in one component."""
        a, b = self.root(one), self.root(other)
        first, second = self._name.get(a), self._name.get(b)
        if a != b and first is not None and second is not None:
            return False
        return a == b or not (b in self._apart[a] or first in self._never[b] or second in self._never[a])

    def join(self, one: int, other: int) -> None:
        """Put two nodes into one component, whatever holds them apart."""
        a, b = self.root(one), self.root(other)
        if a == b:
            return
        a, b = (a, b) if self.size[a] >= self.size[b] else (b, a)
        self._parent[b] = a
        self.size[a] += self.size[b]
        if b in self._name:
            self._name.setdefault(a, self._name.pop(b))
        self._never[a] |= self._never.pop(b, set())
        for node in self._apart.pop(b, set()):
            self._apart[node].discard(b)
            self._apart[node].add(a)
            self._apart[a].add(node)

    def hold_apart(self, one: int, other: int) -> None:
        """Never join the components of two nodes."""
        a, b = self.root(one), self.root(other)
        self._apart[a].add(b)
        self._apart[b].add(a)

    def may_be(self, node: int, name: str) -> bool:
        """Return whether a component can show this individual."""
        root = self.root(node)
        free = name not in self._never[root] and self._namesake(name, root) not in self._apart[root]
        return free and self._name.get(root) in (None, name)

    def call(self, node: int, name: str) -> None:
        """Give a component the name of a known individual; components of one name are one."""
        root = self.root(node)
        namesake = self._namesake(name, root)
        self._name[root], self._shows[name] = name, root
        self.join(root, namesake)

    def _namesake(self, name: str, default: int) -> int:
        """Return the root of the component with a name."""
        root = self.root(self._shows.get(name, default))
        return root if self._name.get(root) == name else default

    def never(self, node: int, name: str) -> None:
        """Keep a component from showing this individual."""
        self._never[self.root(node)].add(name)

    def components(self) -> list[int]:
        """Return the root of every node."""
        return [self.root(node) for node in range(len(self._parent))]

    def named(self) -> set[int]:
        """Return the roots that show a known individual; no two of them can be joined."""
        return set(self._name)

    def apart(self) -> list[tuple[int, int]]:
        """Return the pairs of roots that must stay apart, each once, besides those of two names."""
        pairs = {(min(a, b), max(a, b)) for a, others in self._apart.items() for b in others}
        root_of = {who: root for root, who in self._name.items()}
        for a, names in self._never.items():
            pairs |= {(min(a, root_of[who]), max(a, root_of[who])) for who in names if who in root_of}
        return sorted(pairs)


def constrained(image_id: Sequence[str], constraints: Constraints, whose: Mapping[str, str]) -> Forest:
    """Return a forest over some photographs with the constraints applied; `whose` are the database's names.

    A must-link with a database photograph says whom a photograph shows, a cannot-link whom it does not. Constraints on
    other photographs are left out.

    Raises:
        DataError: the constraints contradict each other, or the names of the database.
    """
    place = {one: row for row, one in enumerate(image_id)}
    forest = Forest(len(image_id))
    # also over photographs that are not in the forest
    links = SameGraph(dict.fromkeys((one, other) for one, other in constraints.must_link))
    for one in place:
        if one in links.beside:
            _join_all(one, links, place, whose, forest)
    for pair in constraints.cannot_link:
        one, other = pair if pair[0] in place else pair[::-1]
        if one not in place:
            continue
        joined = other in place and forest.root(place[one]) == forest.root(place[other])
        if joined or (other in whose and forest.name(place[one]) == whose[other]):
            raise DataError(_contradiction(one, other, links))
        if other in place:
            forest.hold_apart(place[one], place[other])
        elif other in whose:
            forest.never(place[one], whose[other])
    return forest


def _join_all(start: str, links: SameGraph, place: Mapping[str, int], whose: Mapping[str, str], forest: Forest) -> None:
    """Join one photograph with all that its must-links reach, and name the component."""
    seen, waiting, named = {start}, deque([start]), None
    while waiting:
        one = waiting.popleft()
        if one in place:
            forest.join(place[start], place[one])
        elif one in whose:
            if named is not None and whose[one] != whose[named]:
                raise DataError(
                    f"must-links: photographs {named} and {one} are joined, but the database calls them {whose[named]} "
                    f"and {whose[one]}. Change an answer, or give both one name in the table."
                )
            named = one
            forest.call(place[start], whose[one])
        for other in links.beside[one]:
            if other not in seen:
                seen.add(other)
                waiting.append(other)


def _contradiction(one: str, other: str, links: SameGraph) -> str:
    """Return a sentence with the chain of must-links between two photographs that a cannot-link parts."""
    chain = links.chain(one, other)
    if not chain:
        return (
            f"Constraints contradict each other: {one} and {other} are joined with one individual of the database, "
            "but they show two. Change one of these answers."
        )
    joined = " = ".join(chain)
    return f"Constraints contradict each other: {joined}, but {one} is not {other}. Change one of these answers."
