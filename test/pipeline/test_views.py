"""What an operator looks at: each view by its pixels, and through the pipeline."""

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked
from multimodal_fusion.pipeline.views import PALETTES, VIEWS, coloured, view

VISIBLE = np.full((60, 90, 3), (10, 60, 110), np.uint8)
FUSED = np.full((60, 90, 3), 77, np.uint8)
THERMAL = np.zeros((60, 90), np.uint8)
THERMAL[20:40, 30:60] = 240


@pytest.mark.parametrize('visible', [VISIBLE, VISIBLE[..., 0]])
@pytest.mark.parametrize('name', VIEWS)
def test_every_view_of_colour_and_of_grey(name, visible):
    fused = FUSED if visible.ndim == 3 else FUSED[..., 0]
    for palette in PALETTES:
        found = view(name, fused, visible, THERMAL, palette, 0.5)
        assert found.dtype == np.uint8
        assert found.shape[:2] == (60, 180 if name == 'side_by_side' else 90)


def test_views_that_show_one_image():
    assert view('fused', FUSED, VISIBLE, THERMAL) is FUSED
    assert view('visible', FUSED, VISIBLE, THERMAL) is VISIBLE
    assert np.array_equal(view('thermal', FUSED, VISIBLE, THERMAL)[..., 1], THERMAL)
    both = view('side_by_side', FUSED, VISIBLE, THERMAL)
    assert np.array_equal(both[:, :90], VISIBLE) and (both[30, 135] == 240).all()


def test_palettes():
    """Black is white turned round; iron and rainbow are colours, brighter where it is hot."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(coloured(ramp, 'black')[..., 0], 255 - ramp)
    assert coloured(ramp, 'iron')[0].sum(1)[[0, 128, 255]].tolist() == sorted(
        coloured(ramp, 'iron')[0].sum(1)[[0, 128, 255]].tolist()
    )
    assert len(np.unique(coloured(ramp, 'rainbow')[0], axis=0)) > 200


def test_the_inset_lies_in_the_lower_right_corner():
    """30x20 of 90x60, two pixels from the corner: columns 58 to 87, rows 38 to 57."""
    found = view('inset', FUSED, VISIBLE, THERMAL)
    assert np.array_equal(found[:38], VISIBLE[:38])
    assert np.array_equal(found[38:58, 58:88, 0], cv2.resize(THERMAL, (30, 20), interpolation=3))
    half = view('inset', FUSED, VISIBLE, THERMAL, opacity=0.5)
    assert half[57, 59].tolist() == pytest.approx([5, 30, 55], abs=1)
    assert np.array_equal(VISIBLE[0, 0], (10, 60, 110))  # nothing was drawn into it


def test_edges_lie_where_thermal_has_them():
    found = view('edges', FUSED, VISIBLE, THERMAL)
    assert np.array_equal(found[30, 45], VISIBLE[30, 45]) and found[20, 45].min() > 150
    assert np.array_equal(view('edges', FUSED, VISIBLE, THERMAL, opacity=0.0), VISIBLE)


def test_through_the_pipeline(tmp_path):
    """What is fused stays fused; what is shown is the view."""
    pipeline = build(checked({'model.name': 'max', 'output.view': 'side_by_side'}))
    found = pipeline.fuse_all(VISIBLE, pipeline.observe(THERMAL, 0))
    assert found.image.shape == VISIBLE.shape and found.thermal.shape == (60, 90)
    assert pipeline.shown(found).shape == (60, 180, 3)
    for name, image in (('rgb', VISIBLE), ('ir', THERMAL)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    words = ['fuse', *(str(tmp_path / f'{name}.png') for name in ('rgb', 'ir')), '-o']
    words += [str(tmp_path / 'out.png'), '--set', 'output.view=thermal']
    assert cli.main([*words, '--set', 'output.palette=iron']) == 0
    shown = cv2.imread(str(tmp_path / 'out.png'))
    assert np.array_equal(shown, coloured(THERMAL, 'iron'))
