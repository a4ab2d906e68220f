"""The part of a chapter that its explorer stands on."""

import ast
import copy
import symtable
from dataclasses import dataclass

import jupytext
import nbformat

from browser import EXPLORER

BINDING = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def shows_explorer(cell):
    """Whether the committed output of a code cell is an explorer."""
    return any(EXPLORER in output.get("data", {}).get("text/html", "") for output in cell.outputs)


def reduced(notebook):
    """Return a notebook of the explorer cells and what they need of the code before.

    Needed is each statement that gives a name which a needed one uses its value there: by binding
    it, or by an assignment into it or a call of its method. A function that changes its argument
    is not seen.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    parts = [(cell, statement) for cell in code for statement in ast.parse(cell.source).body]
    names = [Names.of(statement) for _, statement in parts]
    wanted = [i for i, (cell, _) in enumerate(parts) if shows_explorer(cell)]
    end, kept = max(wanted), set()
    while wanted:
        i = wanted.pop()
        if i in kept:
            continue
        kept.add(i)
        for name in names[i].used:
            for k in reversed(range(i)):
                if name in names[k].bound | names[k].changed:
                    wanted.append(k)
                if name in names[k].bound:
                    break
        wanted += [
            k for k in range(end) if names[i].used_later & (names[k].bound | names[k].changed)
        ]
    cells = [
        nbformat.v4.new_code_cell("\n".join(lines))
        for cell in code
        if (lines := [ast.unparse(s) for i, (c, s) in enumerate(parts) if c is cell and i in kept])
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)


def write_reduced(source, target):
    """Reduce the notebook `source` and write both halves of the pair, as `target` and beside it."""
    notebook = reduced(nbformat.read(source, as_version=4))
    nbformat.write(notebook, target)
    jupytext.write(notebook, target.with_suffix(".md"), fmt="md:myst")


@dataclass(frozen=True)
class Names:
    """Names of a statement: bound whatever happens, perhaps changed, used now or when called."""

    bound: set
    changed: set
    used: set
    used_later: set

    @classmethod
    def of(cls, statement):
        """Look at one statement of a module."""
        source = ast.unparse(_Generators().visit(copy.deepcopy(statement)))
        table = symtable.symtable(source, "cell", "exec")
        here = table.get_symbols()
        stored = {s.get_name() for s in here if s.is_assigned() or s.is_imported()}
        bound = stored if isinstance(statement, BINDING) else set()
        used, later = {s.get_name() for s in here if s.is_referenced()}, set()
        scopes = [(inner, used) for inner in table.get_children()]
        while scopes:
            scope, names = scopes.pop()
            names = names if scope.get_name() == "genexpr" else later  # a function runs when called
            names |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
            scopes += [(inner, names) for inner in scope.get_children()]
        return cls(bound, stored | set(_roots(statement)), used, later)


class _Generators(ast.NodeTransformer):
    """Makes each comprehension a generator, which has a scope of its own in every Python."""

    def visit(self, node):
        node = self.generic_visit(node)
        if isinstance(node, (ast.ListComp, ast.SetComp)):
            return ast.GeneratorExp(node.elt, node.generators)
        if isinstance(node, ast.DictComp):
            return ast.GeneratorExp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)
        return node


def _roots(statement):
    """Yield x for each `x.a[i] = …` and for each `x.a[i].b(…)` whose value nobody takes."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            node = node.value.func
        elif not isinstance(getattr(node, "ctx", None), ast.Store):
            continue
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
            if isinstance(node, ast.Name):
                yield node.id
