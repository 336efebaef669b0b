"""Provenance as a graph: everything that was used flows into the run, nothing lies over anything else."""

from itertools import pairwise
from typing import Any

from web.charts.provenance_graph import HEIGHT, WIDTH, Node, provenance_graph


def used(role: str, key: int, **changes: Any) -> dict[str, Any]:
    entity = {"id": f"frame:{key}", "sha256": "0" * 64}
    known = {"role": role, "excluded": None, "borrowed": False, "path": f"/data/{role}_{key}.fits", "entity": entity}
    return {**known, **changes}


def run(key: int, *inputs: dict[str, Any]) -> dict[str, Any]:
    agent = {"versions": {"ccdwatch": "0.1.0"}, "engine": "local"}
    return {"id": f"run:{key}", "type": "activity", "wasAssociatedWith": agent, "used": list(inputs)}


def master(key: int, made_by: dict[str, Any], *sources: str) -> dict[str, Any]:
    return {
        "id": f"master:{key}",
        "type": "entity",
        "kind": "master bias",
        "filter": None,
        "verdict": "ok",
        "wasDerivedFrom": list(sources),
        "wasGeneratedBy": made_by,
    }


def test_frames_are_grouped_by_what_became_of_them() -> None:
    inputs = [used("bias", 1), used("bias", 2), used("bias", 3, excluded="its level is odd"), used("flat", 4)]
    graph = provenance_graph(run(5, *inputs), [Node("master:1", "master", "master bias", "ok", "/masters/1")])
    assert [node.title for node in graph.nodes.values()] == [
        "run 5",
        "2 frames: bias",
        "1 frame: bias, left out",
        "1 frame: flat",
        "master bias",
    ]
    assert [node.link for node in graph.nodes.values()][2:4] == ["/frames/3", "/frames/4"]


def test_a_result_shows_what_it_was_derived_from_and_no_more() -> None:
    tree = master(1, run(5, used("bias", 1), used("flat", 4)), "frame:1")
    assert [node.title for node in provenance_graph(tree).nodes.values()] == ["master bias", "run 5", "1 frame: bias"]


def test_masters_that_were_used_come_with_their_own_provenance() -> None:
    earlier = master(1, run(5, used("bias", 1)), "frame:1")
    later = run(6, used("flat", 4), used("bias", 0, entity=earlier))
    graph = provenance_graph(later)
    chain = ["run:5 frames bias", "run:5", "master:1", "run:6"]
    assert set(pairwise(chain)) <= set(graph.edges)
    places = [graph.nodes[key].x for key in chain]
    assert places == sorted(set(places))


def test_nothing_lies_over_anything_else_or_outside() -> None:
    inputs = [used(role, number, borrowed=number > 2) for number, role in enumerate(["bias", "dark", "flat", "bias"])]
    graph = provenance_graph(run(1, *inputs))
    boxes = [(node.x, node.y) for node in graph.nodes.values()]
    assert all(x >= 0 and x + WIDTH <= graph.width and y >= 0 and y + HEIGHT <= graph.height for x, y in boxes)
    for number, (x, y) in enumerate(boxes):
        for other_x, other_y in boxes[:number]:
            assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT
    assert len(list(graph.curves)) == len(graph.edges) == len(boxes) - 1
