"""What docs/troubleshooting.md quotes is what the package says."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEAST = 6  # characters: shorter pieces say nothing


def said():
    """Every string of the package, with … for what is filled in."""
    found = []
    for path in (ROOT / 'multimodal_fusion').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else '…' for v in node.values)
                found.append(''.join(map(str, parts)))
    return '\n'.join(found)


def quoted():
    """Pieces between quotation marks in the troubleshooting, cut at …"""
    text = ' '.join((ROOT / 'docs/troubleshooting.md').read_text().split())
    for sentence in re.findall(r'"([^"]+)"', text):
        yield from (p.strip(' :,;.') for p in sentence.split('…') if len(p.strip(' :,;.')) >= LEAST)


def test_every_quoted_sentence_is_one_of_the_package():
    words, pieces = said(), list(quoted())
    assert len(pieces) > 20
    missing = [piece for piece in pieces if piece not in words]
    assert not missing, missing
