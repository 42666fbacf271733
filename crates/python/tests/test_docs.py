"""What is written down: the stubs have what the module has, and the examples of both READMEs run."""

import ast

import pytest
import simseg
from conftest import ROOT, TINY

STUBS = ast.parse((ROOT / "crates/python/simseg.pyi").read_text(encoding="utf-8"))


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_stubs_and_module_have_the_same_names_and_each_is_explained():
    classes = [node for node in STUBS.body if isinstance(node, ast.ClassDef)]
    functions = [node for node in STUBS.body if isinstance(node, ast.FunctionDef)]
    values = [node.target.id for node in STUBS.body if isinstance(node, ast.AnnAssign)]
    # The extension itself is the module `simseg.simseg`.
    assert public([node.name for node in classes + functions] + values) == public(dir(simseg)) - {"simseg"}
    for stub in classes:
        methods = [node for node in stub.body if isinstance(node, ast.FunctionDef)]
        assert public(node.name for node in methods) == public(vars(getattr(simseg, stub.name))), stub.name
        assert all(ast.get_docstring(node) for node in [stub, *methods] if node.name != "__len__"), stub.name
    assert all(ast.get_docstring(node) for node in functions)


def test_parameters_are_those_of_the_stubs():
    import inspect
    for stub in STUBS.body:
        if isinstance(stub, ast.FunctionDef):
            parameters = inspect.signature(getattr(simseg, stub.name)).parameters
            assert list(parameters) == [each.arg for each in stub.args.args + stub.args.kwonlyargs], stub.name


@pytest.mark.parametrize("readme", ["README.md", "crates/python/README.md"])
def test_the_examples_of_a_readme_run(readme, run, tmp_path, monkeypatch):
    blocks = (ROOT / readme).read_text(encoding="utf-8").split("```python\n")[1:]
    assert len(blocks) == {"README.md": 1, "crates/python/README.md": 3}[readme]
    for name, place in [("fixtures/tiny", TINY), ("model", TINY), ("runs/quick", run)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(place)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(block.split("```")[0], names)
    assert names["found"].labels.shape == (64, 64)
