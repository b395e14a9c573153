"""The house holds: which package may import which, and what lies where."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / 'multimodal_fusion'
ROOMS = {
    'io', 'runtime', 'fusers', 'detect', 'registration', 'pipeline', 'nodes', 'evaluate',
    'benchmark', 'scene', 'networks', 'train', 'host', 'cli',
}  # fmt: skip
FILES = {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in PACKAGE.rglob('*.py')}


def imports(path: Path, tree: ast.Module):
    """(module, whether it is imported when the file is) of every import of a file, absolute."""
    here = ['multimodal_fusion', *path.parts[:-1]]
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in lazy
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = '.'.join([*base, *filter(None, [node.module])])
            for alias in node.names:
                yield f'{module}.{alias.name}', id(node) not in lazy


def rooms() -> dict[str, set[str]]:
    """{package: packages that it imports}."""
    found = defaultdict(set)
    for path, tree in FILES.items():
        for module, _ in imports(path, tree):
            parts = module.split('.')
            if parts[0] == 'multimodal_fusion' and len(parts) > 1 and parts[1] in ROOMS:
                found[path.parts[0]].add(parts[1])
    return {room: found[room] - {room} for room in ROOMS}


def test_fourteen_packages_and_four_files():
    assert {p.name for p in PACKAGE.iterdir() if (p / '__init__.py').is_file()} == ROOMS
    files = {p.stem for p in PACKAGE.glob('*.py')}
    assert files == {'__init__', '__main__', 'errors', 'parameters'}


def test_no_circle_between_packages():
    left = rooms()
    while free := [room for room in left if not left[room] & left.keys()]:
        for room in free:
            del left[room]
    assert left == {}, f'import each other: {left}'


def test_the_core_knows_neither_commands_nor_nodes_nor_training():
    for room in ('io', 'runtime', 'fusers', 'detect', 'registration', 'pipeline'):
        assert not rooms()[room] & {'cli', 'nodes', 'train', 'evaluate'}, room


def test_ros_and_torch_stay_in_their_rooms():
    for path, tree in FILES.items():
        names = {module.split('.')[0] for module, _ in imports(path, tree)}
        assert 'rclpy' not in names or path.parts[0] == 'nodes', path
        torch = path.parts[0] in ('networks', 'train') or path == Path('benchmark/eager.py')
        assert 'torch' not in names or torch, path


def test_one_file_one_job():
    long = {str(p): n for p in FILES if (n := len((PACKAGE / p).read_text().splitlines())) > 400}
    assert long == {}


def test_a_class_name_stands_once():
    names = Counter(
        node.name for tree in FILES.values() for node in tree.body if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_the_training_loop_knows_no_method_no_network_and_no_loss():
    for name in ('loop', 'run', 'engine', 'schedule', 'states', 'config'):
        path = Path(f'train/{name}.py')
        for module, _ in imports(path, FILES[path]):
            parts = module.split('.')[1:]
            known = parts[:3] in (['train', 'methods', 'method'], ['train', 'methods', 'registry'])
            assert known or not {'methods', 'networks', 'losses'} & set(parts), (name, module)
