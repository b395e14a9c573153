"""Models that blend by a mask: whole, at reduced size, and refused."""

import cv2
import numpy as np
import pytest

pytest.importorskip('onnxruntime')

from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.fuser import Fuser

from ..helpers.models import LUMA_MAXIMUM, blending_bytes, manifest_of


def load(tmp_path, content, **options):
    return Fuser.load('ours', manifest=manifest_of(tmp_path, content), **options)


def scene(height=97, width=131):
    """A dark visible image with a warm square in thermal."""
    visible = np.full((height, width), 60, np.uint8)
    thermal = np.full((height, width), 20, np.uint8)
    thermal[24:64, 40:90] = 220
    return visible, thermal


def test_the_mask_comes_with_the_fused_image(tmp_path):
    visible, thermal = scene()
    fuser = load(tmp_path, blending_bytes(), mask_scale=1.0)
    fused, mask = fuser.fuse_and_mask(visible, thermal)
    assert fuser.blends
    np.testing.assert_array_equal(mask, np.where(thermal > visible, 255, 0))
    np.testing.assert_array_equal(fused, np.maximum(visible, thermal))
    np.testing.assert_array_equal(fuser.fuse(visible, thermal), fused)


@pytest.mark.parametrize('scale', [0.5, 0.25])
def test_a_reduced_mask_blends_the_images_at_full_size(tmp_path, scale):
    visible, thermal = scene()
    fused, mask = load(tmp_path, blending_bytes(), mask_scale=scale).fuse_and_mask(visible, thermal)
    far = round(2 / scale)  # from the square's border, beyond which the mask is as the whole one
    assert (mask[24 + far : 64 - far, 40 + far : 90 - far] == 255).all()
    assert (mask[: 24 - far] == 0).all()
    assert (fused[24 + far : 64 - far, 40 + far : 90 - far] == 220).all()
    assert (fused[: 24 - far] == 60).all()
    assert ((fused >= np.minimum(visible, thermal)) & (fused <= np.maximum(visible, thermal))).all()
    assert 0 < ((mask > 0) & (mask < 255)).mean() < 0.2


@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_a_colour_model_blends_every_channel_with_grey_thermal(tmp_path, scale):
    visible, thermal = scene()
    colour = np.dstack((visible, visible // 2, visible // 3))
    fuser = load(tmp_path, blending_bytes(3), mask_scale=scale)
    fused, mask = fuser.fuse_and_mask(colour, thermal)
    assert fuser.kind == 'colour'
    assert mask.shape == thermal.shape
    np.testing.assert_array_equal(fused[40, 60], (220, 220, 220))
    np.testing.assert_array_equal(fused[5, 5], (60, 30, 20))
    grey, _ = fuser.fuse_and_mask(visible, thermal)
    assert grey.shape == thermal.shape
    assert grey[40, 60] == 220


def test_other_fusers_have_no_mask_and_ignore_its_scale(tmp_path):
    visible, thermal = scene()
    for fuser in (load(tmp_path, LUMA_MAXIMUM, mask_scale=0.25), Fuser.load('max', mask_scale=0.5)):
        fused, mask = fuser.fuse_and_mask(cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR), thermal)
        assert mask is None
        assert not fuser.blends
        np.testing.assert_array_equal(fused[..., 0], np.maximum(visible, thermal))


def test_a_mask_of_three_channels_and_a_scale_out_of_range_are_refused(tmp_path):
    with pytest.raises(UserError, match=r'at most a mask like thermal, found .*mask'):
        load(tmp_path, blending_bytes(mask_channels=3))
    with pytest.raises(UserError, match=r'mask_scale must be above 0 and at most 1, got 1.5'):
        load(tmp_path, blending_bytes(), mask_scale=1.5)
