"""Layouts for RViz and Foxglove: they can be read, and name topics and figures that there are."""

import json
import re
from pathlib import Path

import yaml

from multimodal_fusion.pipeline.health import Health
from multimodal_fusion.pipeline.pairing import Counters, SyncSettings
from multimodal_fusion.pipeline.stall import StallSettings

CONFIG = Path(__file__).parents[1] / 'config'
NODES = Path(__file__).parents[1] / 'multimodal_fusion' / 'nodes'


def known(topic):
    """Whether the node says this name anywhere."""
    name = topic.removeprefix('/')
    sources = ''.join(path.read_text() for path in NODES.glob('*.py'))
    generic = re.sub(r'^(rgb|thermal)/', '{name}/', name)
    return f"'{name}'" in sources or f"'{generic}'" in sources or topic == '/diagnostics'


def test_rviz():
    content = yaml.safe_load((CONFIG / 'fusion.rviz').read_text())
    displays = content['Visualization Manager']['Displays']
    topics = [display['Topic']['Value'] for display in displays]
    assert len(topics) == 4 and all(map(known, topics)), topics
    assert all(d['Class'] == 'rviz_default_plugins/Image' for d in displays)


def leaves(layout):
    if isinstance(layout, str):
        return [layout]
    return leaves(layout['first']) + leaves(layout['second'])


def test_foxglove():
    content = json.loads((CONFIG / 'foxglove.json').read_text())
    panels = content['configById']
    assert sorted(leaves(content['layout'])) == sorted(panels)
    text = json.dumps(panels)
    topics = {panel['imageMode']['imageTopic'] for panel in panels.values() if 'imageMode' in panel}
    assert len(topics) == 4 and all(map(known, topics))
    assert '/fused/state.data' in text and known('/fused/state')
    health = Health({'rgb': 'a', 'thermal': 'b'}, StallSettings(), 0.0)
    health.published(0.01)
    figures = health.report(1.0, SyncSettings(), Counters()).values
    asked = re.findall(r'key==\\+"([^"\\]+)\\+"', text)
    assert len(asked) == 2 and set(asked) <= figures.keys()


def test_known_tells_topics_apart():
    assert known('/fused/image_raw') and not known('/fused/nothing')
