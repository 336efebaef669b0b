"""Provenance drawn as a graph: what was used, the run that used it, what it made; from left to right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ccdcore.quantities import label_of
from ccdcore.text import unit_text, value_text

WIDTH, HEIGHT = 190, 46
_GAP_ACROSS, _GAP_DOWN, _MARGIN = 64, 14, 2

Tree = Mapping[str, Any]


@dataclass
class Node:
    """An entity or an activity.

    Parameters
    ----------
    key : str
        Its id: ``frame:7``, ``run:5``, ``measurement:12``; for a group of frames something of its own.
    kind : str
        ``frames``, ``left-out``, ``run``, ``measurement``, ``master``.
    title, detail : str
        What stands in it.
    link : str
        Where it leads.
    x, y : float
        Its upper left corner, in pixels.
    """

    key: str
    kind: str
    title: str
    detail: str
    link: str
    x: float = 0.0
    y: float = 0.0


@dataclass
class Graph:
    """Nodes and edges, laid out in layers."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0

    @property
    def curves(self) -> Iterator[str]:
        """The edges as paths of SVG, from the right side of a node to the left side of the next."""
        for source, target in self.edges:
            one, other = self.nodes[source], self.nodes[target]
            x1, y1, x2, y2 = one.x + WIDTH, one.y + HEIGHT / 2, other.x, other.y + HEIGHT / 2
            middle = (x1 + x2) / 2
            yield f"M{x1:.0f} {y1:.0f}C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"

    def add(self, node: Node, *, into: str | None) -> None:
        """Put a node in, and an edge from it to another."""
        self.nodes.setdefault(node.key, node)
        if into is not None and (node.key, into) not in self.edges:
            self.edges.append((node.key, into))


def provenance_graph(tree: Tree, made: Sequence[Node] = ()) -> Graph:
    """Return the graph of a measurement, a master or a run.

    Parameters
    ----------
    tree : mapping
        What `db.provenance.provenance` says of it.
    made : sequence of Node
        What the run made, where the tree is that of a run.
    """
    graph = Graph()
    if tree["type"] == "activity":
        _add_run(graph, tree, into=None)
        for node in made:
            graph.nodes[node.key] = node
            graph.edges.append((tree["id"], node.key))
    else:
        _add_result(graph, tree, into=None)
    _lay_out(graph)
    return graph


def result_node(kind: str, key: int, title: str, detail: str) -> Node:
    """Return the node of a measurement or a master."""
    return Node(f"{kind}:{key}", kind, title, detail, f"/{kind}s/{key}")


def _add_result(graph: Graph, tree: Tree, *, into: str | None) -> None:
    kind, _, number = tree["id"].partition(":")
    if kind == "measurement":
        value = value_text(tree["value"], tree["uncertainty"])
        title, detail = label_of(tree["quantity"]), f"{value} {unit_text(tree['unit'])}"
    else:
        title, detail = " ".join(filter(None, (tree["kind"], tree["filter"]))), tree["verdict"]
    graph.add(result_node(kind, int(number), title, detail), into=into)
    _add_run(graph, tree["wasGeneratedBy"], into=tree["id"], derived_from=set(tree["wasDerivedFrom"]))


def _add_run(graph: Graph, run: Tree, *, into: str | None, derived_from: set[str] | None = None) -> None:
    """Put a run in, and what it used; of frames those that the result in question was derived from, by role."""
    agent = run["wasAssociatedWith"]
    version = agent["versions"].get("ccdwatch", "")
    key = run["id"]
    link = f"/runs/{key.partition(':')[2]}"
    graph.add(Node(key, "run", key.replace(":", " "), f"ccdwatch {version}, {agent['engine']}", link), into=into)
    groups: dict[tuple[str, str], list[Tree]] = defaultdict(list)
    for one in run["used"]:
        entity = one["entity"]
        if entity["id"].startswith("master:"):
            _add_result(graph, entity, into=key)
        elif not one["role"].startswith("for ") or one["excluded"]:
            is_used = one["excluded"] is None and (derived_from is None or entity["id"] in derived_from)
            if is_used or derived_from is None:
                groups[_group(one, is_used=is_used)].append(one)
    for (kind, title), members in groups.items():
        graph.add(_frames(key, kind, title, members), into=key)


def _group(one: Tree, *, is_used: bool) -> tuple[str, str]:
    role = one["role"].removeprefix("for ")
    if not is_used:
        return "left-out", f"left out of {role}" if one["role"].startswith("for ") else f"{role}, left out"
    return "frames", role + (", borrowed" if one["borrowed"] else "")


def _frames(run: str, kind: str, title: str, members: Sequence[Tree]) -> Node:
    first = members[0]
    name = (first["path"] or "").rpartition("/")[2] or first["entity"]["sha256"][:12]
    number = f"{len(members)} frame{'s'[: len(members) != 1]}"
    link = f"/frames/{first['entity']['id'].partition(':')[2]}" if len(members) == 1 else f"#{kind}"
    return Node(f"{run} {kind} {title}", kind, f"{number}: {title}", name + (" …" if len(members) > 1 else ""), link)


def _lay_out(graph: Graph) -> None:
    """Put each node one column after all that it came from, and centre the columns."""
    sources: dict[str, list[str]] = defaultdict(list)
    for source, target in graph.edges:
        sources[target].append(source)

    def column(key: str) -> int:
        return 1 + max(map(column, sources[key]), default=-1)

    columns: dict[int, list[Node]] = defaultdict(list)
    for key, node in graph.nodes.items():
        columns[column(key)].append(node)
    step = HEIGHT + _GAP_DOWN
    graph.height = max(map(len, columns.values())) * step - _GAP_DOWN + 2 * _MARGIN
    graph.width = len(columns) * (WIDTH + _GAP_ACROSS) - _GAP_ACROSS + 2 * _MARGIN
    for place, nodes in columns.items():
        top = (graph.height - (len(nodes) * step - _GAP_DOWN)) / 2
        for row, node in enumerate(nodes):
            node.x, node.y = _MARGIN + place * (WIDTH + _GAP_ACROSS), top + row * step
