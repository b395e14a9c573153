"""Fusers: classical ones on golden images, ONNX files by contract, refusals by message."""

import numpy as np
import pytest
import yaml

from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers import classical
from multimodal_fusion.fusers.catalogue import available
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.fusers.kernel import compiled as kernel
from multimodal_fusion.fusers.kernel.library import library
from multimodal_fusion.fusers.pair import return_colour
from multimodal_fusion.io.datasets import match_by_stem
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.runtime import session as runtime
from multimodal_fusion.runtime.manifest import Manifest

from ..helpers.data import validation_pairs
from ..helpers.models import LUMA_MAXIMUM, manifest_of, onnx_bytes, two_layer

rng = np.random.default_rng(0)
needs_kernel = pytest.mark.skipif(library() is None, reason='the kernel is not built')
SIZES = [(32, 32), (33, 47), (64, 48), (241, 321)]


def noise(*shape):
    return rng.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize('name', list(classical.CLASSICAL))
@pytest.mark.parametrize('size', SIZES)
def test_classical_fusers_keep_size_and_type(name, size):
    fuser, thermal = Fuser.load(name), noise(*size)
    for visible in (noise(*size), noise(*size, 3)):
        before = visible.copy(), thermal.copy()
        fused = fuser.fuse(visible, thermal)
        assert fused.shape == visible.shape and fused.dtype == np.uint8
        assert np.array_equal(visible, before[0]) and np.array_equal(thermal, before[1])


@pytest.mark.parametrize(
    ('name', 'options', 'where'),
    [
        ('max', {}, 'the CPU'),
        ('mmdrfuse', {'compiled': False}, 'CPUExecutionProvider'),
        pytest.param('mmdrfuse', {}, 'the CPU', marks=needs_kernel),
    ],
)
def test_half_precision_that_is_not_to_be_had_is_noticed(name, options, where):
    assert Fuser.load(name, **options).notice == ''
    notice = Fuser.load(name, fp16=True, **options).notice
    assert notice == (
        f'half precision (fp16) was asked for, but {name} runs on {where} without it; '
        'only the provider tensorrt has it'
    )


@pytest.mark.parametrize('name', list(classical.CLASSICAL))
def test_identical_sources_give_the_source(name):
    image = noise(64, 80)
    fused = Fuser.load(name).fuse(image, image)
    assert np.abs(fused.astype(int) - image).max() <= 1


@pytest.mark.parametrize(
    ('name', 'expected'),
    [('average', 125), ('max', 200), ('laplacian', 125), ('wavelet_max', 125)],
)
def test_golden_flat_images(name, expected):
    """50 and 200 everywhere: no detail, so the base rule decides; 125 is their mean."""
    fused = Fuser.load(name).fuse(np.full((64, 64), 50, np.uint8), np.full((64, 64), 200, np.uint8))
    assert (fused == expected).all()


def test_guided_filter_takes_the_sharp_side_of_each():
    """Left half textured in A, right half in B: each half follows its textured source."""
    texture = noise(128, 128)
    flat = np.full_like(texture, 128)
    left, right = texture.copy(), texture.copy()
    left[:, 64:], right[:, :64] = 128, 128
    fused = Fuser.load('guided_filter').fuse(left, right)
    error = np.abs(fused.astype(int) - texture)
    assert error[:, :44].mean() < 12 and error[:, 84:].mean() < 12
    assert np.abs(flat.astype(int) - texture)[:, :44].mean() > 50


def test_colour_returns_by_the_change_of_luma():
    """Luma 100 to 130 adds 30 to B, G and R; 100 to 40 takes 60 off; both clip at the ends."""
    visible = np.array([[[100, 100, 100], [240, 50, 100], [10, 120, 80]]], np.uint8)
    grey = np.array([[100, 100, 100]], np.uint8)
    fused = np.array([[130, 130, 40]], np.uint8)
    assert return_colour(visible, grey, fused).tolist() == [
        [[130, 130, 130], [255, 80, 130], [0, 60, 20]]
    ]


def test_where_nothing_clips_the_luma_is_the_fused_one():
    visible = rng.integers(90, 160, (64, 64, 3), np.uint8)
    grey = luma(visible)
    fused = (grey + rng.integers(-60, 60, grey.shape)).astype(np.uint8)
    assert np.abs(luma(return_colour(visible, grey, fused)).astype(int) - fused).max() <= 1


def test_an_onnx_model_runs_by_the_contract(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(onnx_bytes())
    fuser = Fuser.load(str(path), allow_unlisted=True, manifest=manifest_of(tmp_path))
    assert (fuser.kind, fuser.provider) == ('luma', 'CPUExecutionProvider')
    assert fuser.metadata['name'] == 'test maximum'
    for size in SIZES:
        visible, thermal = noise(*size, 3), noise(*size)
        assert np.array_equal(
            fuser.fuse(visible, thermal), Fuser.load('max').fuse(visible, thermal)
        )
    fuser.warm_up((33, 47))


@needs_kernel
@pytest.mark.parametrize('name', ['mmdrfuse', 'mmdrfuse_plus'])
def test_the_mini_model_is_compiled_unless_told_otherwise(name):
    """With equal metadata, and pixels within one grey level, grey and colour."""
    ours, onnx = Fuser.load(name), Fuser.load(name, compiled=False)
    assert (ours.provider, onnx.provider) == ('compiled', 'CPUExecutionProvider')
    assert (ours.name, ours.kind, ours.metadata) == (name, 'luma', onnx.metadata)
    assert Fuser.load(name, providers=('cuda',)).provider != 'compiled'
    for size in SIZES:
        for visible in (noise(*size), noise(*size, 3)):
            thermal = noise(*size)
            fused = ours.fuse(visible, thermal).astype(int)
            assert np.abs(fused - onnx.fuse(visible, thermal)).max() <= 1


@needs_kernel
def test_the_mini_model_needs_no_onnxruntime(monkeypatch):
    monkeypatch.setattr(runtime, 'onnxruntime_or_none', lambda: None)
    assert Fuser.load('mmdrfuse').fuse(noise(40, 50, 3), noise(40, 50)).shape == (40, 50, 3)
    with pytest.raises(UserError, match='needs onnxruntime, which is not installed'):
        Fuser.load('mmdrfuse', compiled=False)


def test_without_the_kernel_onnx_runtime_does_it(monkeypatch):
    monkeypatch.setattr(kernel, 'library', lambda: None)
    fuser = Fuser.load('mmdrfuse')
    assert fuser.provider == 'CPUExecutionProvider'
    assert fuser.fuse(noise(40, 50, 3), noise(40, 50)).shape == (40, 50, 3)


def test_models_of_another_shape_run_on_onnx_runtime(tmp_path):
    model = two_layer('tanh')
    next(node for node in model.graph.node if node.op_type == 'Relu').op_type = 'Abs'
    path = tmp_path / 'm.onnx'
    path.write_bytes(model.SerializeToString())
    fuser = Fuser.load(str(path), allow_unlisted=True, manifest=manifest_of(tmp_path))
    assert fuser.provider == 'CPUExecutionProvider'


def test_a_colour_model_sees_rgb_and_returns_bgr(tmp_path):
    """The test model returns visible as it is: BGR in must be BGR out, grey must stay grey."""
    path = tmp_path / 'm.onnx'
    path.write_bytes(onnx_bytes(channels=3))
    fuser = Fuser.load(str(path), allow_unlisted=True, manifest=manifest_of(tmp_path))
    visible, thermal = noise(40, 50, 3), noise(40, 50)
    assert fuser.kind == 'colour'
    assert np.array_equal(fuser.fuse(visible, thermal), visible)
    grey = noise(40, 50)
    assert np.abs(fuser.fuse(grey, thermal).astype(int) - grey).max() <= 1


def test_a_model_by_name_and_the_default(tmp_path):
    manifest = manifest_of(tmp_path, LUMA_MAXIMUM)
    assert Fuser.load('ours', manifest=manifest).name == 'ours'
    assert Fuser.load('default', manifest=manifest).name == 'ours'
    names = [info.name for info in available(manifest)]
    assert names == [*classical.CLASSICAL, 'ours']


def test_a_detector_is_listed_and_is_no_fuser(tmp_path):
    manifest_of(tmp_path, LUMA_MAXIMUM)
    content = yaml.safe_load((tmp_path / 'models.yaml').read_text())
    content['detectors'] = {'finder': {'file': 'f.onnx', 'sha256': 'x', 'kind': 'detector'}}
    (tmp_path / 'models.yaml').write_text(yaml.safe_dump(content))
    manifest = Manifest.load(tmp_path / 'models.yaml')
    assert available(manifest)[-1].name == 'finder' and available(manifest)[-1].kind == 'detector'
    with pytest.raises(UserError, match='finder is a detector, not a fuser'):
        Fuser.load('finder', manifest=manifest)


def test_a_gpu_that_is_not_there_is_told(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('this machine has CUDA')
    manifest = manifest_of(tmp_path, LUMA_MAXIMUM)
    fuser = Fuser.load('ours', providers=('cuda',), manifest=manifest)
    assert fuser.provider == 'CPUExecutionProvider'
    assert 'CUDAExecutionProvider was asked for, but ours.onnx runs on CPU' in fuser.notice


BAD_PAIRS = [
    (noise(40, 50, 3), noise(64, 80), r'visible image is 50x40, the thermal image 80x64: they '
     r'must be registered to the same size; if both see the same field'),
    (noise(40, 50, 4), noise(40, 50), r'the visible image must be uint8 \(H, W, 3\) BGR or'),
    (noise(40, 50), noise(40, 50).astype(np.uint16), r'got uint16 \(40, 50\)'),
    (noise(20, 50), noise(20, 50), r'the images are 50x20; both sides must be at least 32'),
]  # fmt: skip


@pytest.mark.parametrize(('visible', 'thermal', 'text'), BAD_PAIRS)
def test_pairs_that_cannot_be_fused(visible, thermal, text):
    with pytest.raises(UserError, match=text):
        Fuser.load('max').fuse(visible, thermal)


def refuse(tmp_path, content, text, name='m.onnx', manifest=None, **options):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=text):
        Fuser.load(str(path), manifest=manifest or manifest_of(tmp_path), **options)


def test_unknown_names_and_missing_files(tmp_path):
    with pytest.raises(UserError, match=r"there is no model 'lapacian'.*Did you mean 'laplacian'"):
        Fuser.load('lapacian', manifest=manifest_of(tmp_path))
    with pytest.raises(UserError, match=r'none\.onnx cannot be read: No such file'):
        Fuser.load(str(tmp_path / 'none.onnx'), manifest=manifest_of(tmp_path))


@pytest.mark.parametrize('content', [b'', b'hello, I am text', b'\x89PNG\r\n\x1a\n' + bytes(99)])
def test_what_is_not_onnx(tmp_path, content):
    refuse(tmp_path, content, r'm\.onnx is not an ONNX model', allow_unlisted=True)


def test_a_cut_off_model(tmp_path):
    refuse(tmp_path, onnx_bytes()[:-20], r'is not an ONNX model \(', allow_unlisted=True)


@pytest.mark.parametrize(
    'where', ['initializer', 'attribute', 'subgraph', 'function', 'default', 'training']
)
def test_external_data_is_refused_wherever_it_hides(tmp_path, where):
    content = onnx_bytes(external=where)
    refuse(tmp_path, content, r'keeps its weights in another file', allow_unlisted=True)


def test_a_field_tag_of_more_than_32_bits_is_refused(tmp_path):
    """Protobuf reads its lower 32 bits: what looks like field 2**29 + 7 would be a second graph."""
    tag, varint = 1 << 32 | 7 << 3 | 2, b''
    while tag:
        varint, tag = varint + bytes([tag & 0x7F | (tag > 0x7F) << 7]), tag >> 7
    content = onnx_bytes() + varint + b'\0'
    refuse(tmp_path, content, r'a field tag has more than 32 bits', allow_unlisted=True)


def test_a_model_that_returns_another_size_is_refused_by_name(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(onnx_bytes(fixed=(48, 65)))
    fuser = Fuser.load(str(path), allow_unlisted=True)
    image = np.zeros((65, 48), np.uint8)
    with pytest.raises(UserError, match=r'm\.onnx failed on a 48x65 image: fused has the shape'):
        fuser.fuse(image, image)


def test_an_unlisted_model_needs_permission(tmp_path):
    refuse(tmp_path, onnx_bytes(), r'is not listed in models\.yaml.*--allow-unlisted')


def test_a_hash_that_does_not_match(tmp_path):
    manifest = manifest_of(tmp_path, LUMA_MAXIMUM)
    (tmp_path / 'ours.onnx').write_bytes(onnx_bytes(channels=3))
    with pytest.raises(UserError, match=r'has sha256 .*, but models\.yaml lists .*damaged'):
        Fuser.load('ours', manifest=manifest)


def test_another_kind_of_model(tmp_path):
    refuse(
        tmp_path, onnx_bytes(output='boxes'), r'is not a fusion model: expected uint8 visible',
        allow_unlisted=True,
    )  # fmt: skip


def test_an_unknown_provider(tmp_path):
    refuse(
        tmp_path, onnx_bytes(), r"the providers for m\.onnx are \['gpu'\]; name at least one of",
        allow_unlisted=True, providers=('gpu',),
    )  # fmt: skip


def test_a_manifest_that_is_none(tmp_path):
    path = tmp_path / 'models.yaml'
    path.write_text('models: [1, 2]\n')
    with pytest.raises(UserError, match='is not a model manifest'):
        Manifest.load(path)


@pytest.mark.parametrize('name', list(classical.CLASSICAL))
def test_real_pairs(name):
    from multimodal_fusion.io.image_files import read_thermal, read_visible

    folder = validation_pairs()
    pairs, _ = match_by_stem(folder / 'vis', folder / 'ir')
    fuser = Fuser.load(name)
    for pair in pairs[::16]:
        visible, thermal = read_visible(pair.visible), read_thermal(pair.thermal)
        assert fuser.fuse(visible, thermal).shape == visible.shape
