"""Folders, lines and docstrings of source files."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef

NOT_COUNTED = ("templates", "static", "migrations", "__pycache__")
"""Folders, with all below them, that may hold any number of files."""

_ARRAY = re.compile(r"NDArray|ndarray|Image\b|Pixels\b|Stack\b")
_NUMBER = re.compile(r"\bfloat\b|NDArray|ndarray|Image\b|Pixels\b|Stack\b")
_SAYS = {
    "shape": re.compile(r"\bshape\b"),
    "unit": re.compile(
        r"\bADU|\be⁻|\bADU²|electrons?\b|\bseconds?\b|\bin s\b|\bpixels?\b|\bdays?\b|°C|\bdegrees?\b|σ\b|\bfractions?\b"
        r"|\bkelvin\b|\bunits?\b|\bMpx\b|\bMiB\b|\bbytes\b|\brelative\b|\bper cent\b|%"
    ),
    "error": re.compile(r"^ *Raises\n|\berrors are those of\b", re.MULTILINE),
}


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """The files directly in a folder, without ``__init__.py``."""

    path: Path
    files: tuple[str, ...]
    is_sub_package: bool


@dataclass(frozen=True, slots=True)
class FunctionLines:
    """A function or method: its lines from ``def`` to the end, without decorators and docstring."""

    name: str
    n_lines: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A module, read but not imported.

    Parameters
    ----------
    module : str
        Its name.
    n_lines : int
        All lines of the file.
    functions : tuple of FunctionLines
        Those inside of others too.
    late_imports : tuple of int
        Lines of the import statements inside of functions.
    tree : ast.Module
        The code.
    """

    module: str
    n_lines: int
    functions: tuple[FunctionLines, ...]
    late_imports: tuple[int, ...]
    tree: ast.Module


def folders(root: Path, package: str) -> list[FolderFiles]:
    """Return a package's folders."""
    top = root / package
    found = []
    for folder in (top, *(one for one in sorted(top.rglob("*")) if one.is_dir())):
        if not set(folder.relative_to(root).parts) & set(NOT_COUNTED):
            files = [one.name for one in sorted(folder.iterdir()) if one.is_file() and one.name != "__init__.py"]
            if files or (folder / "__init__.py").is_file():
                found.append(FolderFiles(folder, tuple(files), folder != top))
    return found


def sources(root: Path, package: str) -> list[SourceFile]:
    """Return a package's modules, but those of folders that are not counted."""
    paths = sorted((root / package).rglob("*.py"))
    return [_source(root, path) for path in paths if not set(path.relative_to(root).parts) & set(NOT_COUNTED)]


def _source(root: Path, path: Path) -> SourceFile:
    module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    late = {node.lineno for one in functions for node in ast.walk(one) if isinstance(node, ast.Import | ast.ImportFrom)}
    lines = tuple(FunctionLines(f"{module}.{one.name}", _n_lines(one)) for one in functions)
    return SourceFile(module, len(text.splitlines()), lines, tuple(sorted(late)), tree)


def _n_lines(function: Function) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def quantile(values: Sequence[int], fraction: float) -> int:
    """Return the least of the values that at least this fraction of them do not exceed; 0 for none."""
    ordered = sorted(values)
    return next((one for n, one in enumerate(ordered, start=1) if n >= fraction * len(ordered)), 0)


def documented_share(found: Iterable[SourceFile], what: str) -> tuple[float, tuple[str, ...]]:
    """Return which share of the public functions say what is to be said of their arrays, numbers or errors.

    That is a rough measure: of words in docstrings, by annotations and by what is raised in a function itself.

    Parameters
    ----------
    found : iterable of SourceFile
        The modules.
    what : {"shape", "unit", "error"}
        Shapes are asked for of arrays, units of numbers that are no integers, and of arrays; errors where one is
        raised.

    Returns
    -------
    share : float
        From 0 to 1, of those concerned; 1 where there are none.
    lacking : tuple of str
        Those that do not.
    """
    concerned = {
        f"{source.module}.{name}": ast.get_docstring(function) or ""
        for source in found
        for name, function in _public(source.tree)
        if _CONCERNS[what](function)
    }
    lacking = tuple(name for name, text in concerned.items() if not _SAYS[what].search(text))
    return (1 - len(lacking) / len(concerned) if concerned else 1.0), lacking


def _public(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Yield the public functions of a module, and the public methods of its public classes."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for one in node.body:
                if isinstance(one, Function) and not one.name.startswith("_"):
                    yield f"{node.name}.{one.name}", one


def _annotations(function: Function) -> str:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    annotations = [one.annotation for one in every if one is not None] + [function.returns]
    return " ".join(ast.unparse(one) for one in annotations if one is not None)


def _raises(function: Function) -> bool:
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(function))


_CONCERNS: Mapping[str, Callable[[Function], bool]] = {
    "shape": lambda function: _ARRAY.search(_annotations(function)) is not None,
    "unit": lambda function: _NUMBER.search(_annotations(function)) is not None,
    "error": _raises,
}
"""Which functions are to say it."""
