"""The fuse command as a user runs it: what it makes, and what it says to bad input."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.cli import options
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.fusers.pair import keep_colour
from multimodal_fusion.io.datasets import match_by_stem
from multimodal_fusion.io.image_files import read_pixels, read_visible
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.io.video import VideoSink

from ..helpers import hostile
from ..helpers.data import REAL, validation_pairs
from ..helpers.models import onnx_bytes

rng = np.random.default_rng(0)


def save(path, *shape, bits=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 2**bits, shape, np.uint8 if bits == 8 else np.uint16)
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def pair(tmp_path):
    return save(tmp_path / 'rgb.png', 61, 75, 3), save(tmp_path / 'ir.png', 61, 75)


def fuse(*arguments):
    return cli.main(['fuse', *map(str, arguments)])


def refused(capsys, text, *arguments):
    """Exit code 2, one sentence that holds the text, nothing written to standard output."""
    assert fuse(*arguments) == 2
    out, err = capsys.readouterr()
    assert text in err, err
    assert err.count('\n') == 1 and 'Traceback' not in err
    assert out == ''


@pytest.mark.parametrize('model', ['max', 'default', 'wavelet_max'])
def test_two_images_of_odd_size(pair, tmp_path, model):
    assert fuse(*pair, '-o', tmp_path / 'f.png', '--model', model) == 0
    visible, thermal = cv2.imread(str(pair[0])), cv2.imread(str(pair[1]), 0)
    expected = Fuser.load(model).fuse(visible, thermal)
    assert np.array_equal(cv2.imread(str(tmp_path / 'f.png')), expected)


def test_grey_visible_gives_grey(pair, tmp_path):
    grey = save(tmp_path / 'grey.png', 61, 75)
    assert fuse(grey, pair[1], '-o', tmp_path / 'f.png', '--model', 'max') == 0
    assert read_pixels(tmp_path / 'f.png').ndim == 2


@pytest.mark.parametrize('suffix', ['.png', '.tiff'])
@pytest.mark.parametrize('option', ['auto', '1000:60000', 'minmax'])
def test_16_bit_thermal(pair, tmp_path, suffix, option):
    thermal = save(tmp_path / f'wide{suffix}', 61, 75, bits=16)
    out = tmp_path / 'f.png'
    assert fuse(pair[0], thermal, '-o', out, '--thermal-range', option, '--model', 'max') == 0
    assert read_visible(out).shape == (61, 75, 3)


def test_colour_is_kept_where_that_is_asked_for(pair, tmp_path, capsys):
    out = tmp_path / 'f.png'
    assert fuse(*pair, '-o', out, '--model', 'max', '--set', 'output.colour=keep') == 0
    visible, thermal = cv2.imread(str(pair[0])), read_pixels(pair[1])
    grey = luma(visible)
    expected = keep_colour(visible, grey, np.maximum(grey, thermal))
    np.testing.assert_array_equal(cv2.imread(str(out)), expected)
    capsys.readouterr()
    refused(capsys, 'output.colour', *pair, '-o', out, '--set', 'output.colour=lose')


def test_side_by_side_is_three_wide(pair, tmp_path):
    assert fuse(*pair, '-o', tmp_path / 'f.png', '--side-by-side', '--model', 'max') == 0
    sheet = read_visible(tmp_path / 'f.png')
    assert sheet.shape == (61, 225, 3)
    assert np.array_equal(sheet[:, :75], read_visible(pair[0]))
    assert np.array_equal(luma(sheet)[:, 75:150], read_pixels(pair[1]))


def test_folders_by_stem_name_what_has_no_partner(tmp_path, capsys):
    for stem in ('a', 'b', 'c'):
        save(tmp_path / 'vis' / f'{stem}.jpg', 40, 50, 3)
    for stem in ('b', 'c', 'd'):
        save(tmp_path / 'ir' / f'{stem}.png', 40, 50)
    assert fuse(tmp_path / 'vis', tmp_path / 'ir', '-o', tmp_path / 'out', '--model', 'max') == 0
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['b.png', 'c.png']
    out, err = capsys.readouterr()
    assert '2 of 2 pairs fused' in out
    assert '2 images have no partner and are left out: a, d' in err


def test_some_pairs_of_two_folders(pair, tmp_path, capsys):
    for kind, suffix, channels in (('vis', 'jpg', (3,)), ('ir', 'png', ())):
        for stem in 'abc':
            save(tmp_path / kind / f'{stem}.{suffix}', 40, 50, *channels)
    some = tmp_path / 'some.txt'
    some.write_text('b\n')
    given = (tmp_path / 'vis', tmp_path / 'ir', '--model', 'max')
    assert fuse(*given, '-o', tmp_path / 'o', '--stems', some) == 0
    assert [p.name for p in (tmp_path / 'o').iterdir()] == ['b.png']
    assert fuse(*given, '-o', tmp_path / 'w', '--without', some) == 0
    assert sorted(p.name for p in (tmp_path / 'w').iterdir()) == ['a.png', 'c.png']
    assert '1 of 3 pairs' in capsys.readouterr().err
    some.write_text('d\n')
    refused(capsys, "has no 'd'", *given, '-o', tmp_path / 'x', '--stems', some)
    refused(capsys, 'choose pairs of two folders', *pair, '-o', tmp_path / 'f.png', '--stems', some)


def test_a_bad_pair_in_a_folder_is_told_and_the_others_are_fused(tmp_path, capsys):
    for stem in ('a', 'b'):
        save(tmp_path / 'vis' / f'{stem}.png', 40, 50, 3)
    save(tmp_path / 'ir' / 'a.png', 40, 50)
    save(tmp_path / 'ir' / 'b.png', 30, 50)
    assert fuse(tmp_path / 'vis', tmp_path / 'ir', '-o', tmp_path / 'out', '--model', 'max') == 0
    out, err = capsys.readouterr()
    assert '1 of 2 pairs fused' in out and 'they must be registered to the same size' in err
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['a.png']
    (tmp_path / 'ir' / 'a.png').write_text('no picture')
    assert fuse(tmp_path / 'vis', tmp_path / 'ir', '-o', tmp_path / 'none', '--model', 'max') == 2
    assert '0 of 2 pairs fused' in capsys.readouterr().out


def test_in_a_folder_the_range_of_one_picture_is_not_that_of_the_next(tmp_path):
    """Pictures of a folder have no past, whatever thermal.memory a parameter file has."""
    for i, level in enumerate((5000, 20000)):
        save(tmp_path / 'vis' / f'{i}.png', 40, 50, 3)
        path = save(tmp_path / 'ir' / f'{i}.png', 40, 50, bits=12)
        cv2.imwrite(str(path), cv2.imread(str(path), -1) + level)
    params = tmp_path / 'robot.yaml'
    params.write_text('/**:\n  ros__parameters:\n    thermal: {memory: 2.0}\n')
    options = ('--model', 'max', '--params', params)
    assert fuse(tmp_path / 'vis', tmp_path / 'ir', '-o', tmp_path / 'both', *options) == 0
    second = tmp_path / 'vis/1.png', tmp_path / 'ir/1.png'
    assert fuse(*second, '-o', tmp_path / 'alone.png', *options) == 0
    both, alone = read_pixels(tmp_path / 'both/1.png'), read_pixels(tmp_path / 'alone.png')
    assert np.array_equal(both, alone)


def video(path, frames):
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def grey_video(path, values, rate, deep=False):
    """Even frames of 64x48, losslessly: uint8, or uint16 if deep."""
    depth = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U if deep else cv2.CV_8U]
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*'FFV1'), rate, (64, 48),
        [cv2.VIDEOWRITER_PROP_IS_COLOR, 0, *depth],
    )  # fmt: skip
    for value in values:
        writer.write(np.full((48, 64), value, np.uint16 if deep else np.uint8))
    writer.release()
    return path


def means(path):
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        good, frame = capture.read()
        if not good:
            return found
        found.append(int(frame.mean()))


def test_two_videos_frame_by_frame(tmp_path, capsys):
    frames = [np.full((48, 64, 3), value, np.uint8) for value in (40, 80, 120, 160)]
    a, b = video(tmp_path / 'a.mp4', frames), video(tmp_path / 'b.mp4', frames[:3])
    for more in ((), ('--by-index',)):
        assert fuse(a, b, '-o', tmp_path / 'f.mp4', '--model', 'max', *more) == 0
        out = capsys.readouterr().out
        assert '3 frames fused' in out and 'without a partner: visible 1, thermal 0' in out
        read = means(tmp_path / 'f.mp4')
        assert [abs(f - v) <= 6 for f, v in zip(read, (40, 80, 120), strict=True)]


def test_videos_of_different_rates_are_fused_by_time(tmp_path, capsys):
    """Visible at 30 Hz is 2 x its time in tenths; thermal at 9 Hz is black: 9 images a second, each
    of the visible frame nearest in time, for all of 3 seconds."""
    visible = grey_video(tmp_path / 'v.mkv', [2 * i for i in range(90)], 30)
    thermal = grey_video(tmp_path / 't.mkv', [0] * 27, 9)
    assert fuse(visible, thermal, '-o', tmp_path / 'f.avi', '--model', 'max') == 0
    out = capsys.readouterr().out
    assert '27 frames fused' in out and 'without a partner: visible 63, thermal 0' in out
    expected = [2 * round(i / 9 * 30) for i in range(27)]
    assert np.abs(np.subtract(means(tmp_path / 'f.avi'), expected)).max() <= 4
    assert cv2.VideoCapture(str(tmp_path / 'f.avi')).get(cv2.CAP_PROP_FPS) == pytest.approx(9)


def test_sixteen_bits_of_a_thermal_video_are_read(tmp_path):
    """Counts 7000 to 7400 of 16 bits: the high bytes 27 and 28 alone would be two levels."""
    visible = grey_video(tmp_path / 'v.mkv', [0] * 5, 10)
    thermal = grey_video(tmp_path / 't.mkv', [7000, 7100, 7200, 7300, 7400], 10, deep=True)
    arguments = ('-o', tmp_path / 'f.avi', '--model', 'max', '--thermal-range', '7000:7400')
    assert fuse(visible, thermal, *arguments) == 0
    assert np.abs(np.subtract(means(tmp_path / 'f.avi'), [0, 64, 128, 191, 255])).max() <= 4


def test_what_is_said_of_videos(tmp_path, capsys):
    frames = [np.full((47, 63, 3), 80, np.uint8)] * 3
    odd = [np.full((48, 64, 3), 80, np.uint8)] * 3
    colon = video(tmp_path / 'a:b.mp4', odd)
    assert fuse(colon, colon, '-o', tmp_path / 'c:d.mp4', '--model', 'max') == 0
    capsys.readouterr()
    refused(capsys, "out.webm is no name for a video; end it in one of .mp4, .avi",
            colon, colon, '-o', tmp_path / 'out.webm', '--model', 'max')  # fmt: skip
    shifted = ('--set', 'sync.thermal_time_offset=9.0')
    refused(capsys, 'lies within 0.05 s of one of', colon, colon, '-o', tmp_path / 'n.mp4',
            '--model', 'max', *shifted)  # fmt: skip
    assert not (tmp_path / 'n.mp4').exists()
    sink = VideoSink(tmp_path / 'odd.mp4', 10, (47, 63))
    for frame in frames:
        sink.write(frame)
    sink.close()
    capture = cv2.VideoCapture(str(tmp_path / 'odd.mp4'))
    assert capture.read()[1].shape == (48, 64, 3)


def test_an_output_that_is_an_input_is_refused(pair, tmp_path, capsys):
    before = [path.read_bytes() for path in pair]
    refused(capsys, 'would overwrite', *pair, '-o', pair[0], '--model', 'max')
    refused(capsys, 'would overwrite', *pair, '-o', pair[1], '--model', 'max')
    for folder in ('vis', 'ir'):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / 'a.png', 40, 50)
    refused(capsys, 'would overwrite', tmp_path / 'vis', tmp_path / 'ir', '-o', tmp_path / 'vis')
    refused(
        capsys, 'would overwrite', tmp_path / 'vis', tmp_path / 'ir', '-o', tmp_path / '.' / 'ir'
    )
    refused(capsys, 'would overwrite', *pair, '-o', pair[0].parent, '--model', 'max')
    assert [path.read_bytes() for path in pair] == before


def test_different_sizes_fuse_once_registration_is_asked_for(pair, tmp_path, capsys):
    small = save(tmp_path / 'small.png', 40, 50)
    arguments = (pair[0], small, '-o', tmp_path / 'f.png', '--model', 'max')
    refused(capsys, '--registration resize (registration.mode: resize) does it', *arguments)
    assert not (tmp_path / 'f.png').exists()
    assert fuse(*arguments, '--registration', 'resize') == 0


def test_missing_file(pair, tmp_path, capsys):
    refused(capsys, 'none.png does not exist', tmp_path / 'none.png', pair[1], '-o', tmp_path / 'f')


def test_text_named_png(pair, tmp_path, capsys):
    text = tmp_path / 'text.png'
    text.write_text('this is not a picture')
    refused(
        capsys, "text.png is not an image that can be decoded (21 bytes, beginning with b'this is",
        pair[0], text, '-o', tmp_path / 'f.png',
    )  # fmt: skip


@pytest.mark.parametrize('keep', [0.05, 0.5, 0.98])
def test_truncated_png(pair, tmp_path, capsys, keep):
    """Decoders fill the missing rows with grey and say nothing: the end must be looked at."""
    content = pair[1].read_bytes()
    cut = tmp_path / 'cut.png'
    cut.write_bytes(content[: int(len(content) * keep)])
    refused(capsys, 'cut off', pair[0], cut, '-o', tmp_path / 'f.png')


def test_truncated_jpeg(pair, tmp_path, capsys):
    content = cv2.imencode('.jpg', rng.integers(0, 256, (61, 75), np.uint8))[1].tobytes()
    cut = tmp_path / 'cut.jpg'
    cut.write_bytes(content[: len(content) // 2])
    refused(capsys, 'cut off', pair[0], cut, '-o', tmp_path / 'f.png')


def test_file_with_folder(pair, tmp_path, capsys):
    refused(capsys, 'must be both files or both folders', pair[0], tmp_path, '-o', tmp_path / 'f')


def test_folders_with_nothing_in_common(tmp_path, capsys):
    save(tmp_path / 'vis' / 'a.png', 40, 50, 3)
    save(tmp_path / 'ir' / 'b.png', 40, 50)
    refused(capsys, 'have no file name in common (such as a and b)',
            tmp_path / 'vis', tmp_path / 'ir', '-o', tmp_path / 'out')  # fmt: skip


def test_models_that_cannot_be_used(pair, tmp_path, capsys):
    def model(content, *more):
        path = tmp_path / 'm.onnx'
        path.write_bytes(content)
        return (*pair, '-o', tmp_path / 'f.png', '--model', path, *more)

    refused(capsys, 'm.onnx is not an ONNX model', *model(b'text', '--allow-unlisted'))
    refused(
        capsys, 'keeps its weights in another file (ONNX external data), which is refused',
        *model(onnx_bytes(external='initializer'), '--allow-unlisted'),
    )  # fmt: skip
    refused(capsys, 'is not listed in models.yaml', *model(onnx_bytes()))
    assert fuse(*model(onnx_bytes(), '--allow-unlisted')) == 0


def test_bad_options(pair, tmp_path, capsys):
    base = (*pair, '-o', tmp_path / 'f.png', '--model', 'max')
    refused(
        capsys, 'give auto, percentile, minmax, plateau or MIN:MAX', *base, '--thermal-range', '1:x'
    )
    refused(capsys, "--thermal-range is 'foo'; give auto", *base, '--thermal-range', 'foo')
    refused(capsys, 'model.threads is 0; it must be from 1 to 64', *base, '--threads', 0)
    refused(capsys, 'did you mean thermal.clahe?', *base, '--set', 'thermal.clah=2.0')
    refused(capsys, 'must be a number, got True', *base, '--set', 'thermal.clahe=yes')
    refused(capsys, 'give NAME=VALUE, such as sync.slop=0.05', *base, '--set', 'thermal.clahe')
    refused(capsys, '--set thermal.clahe is not valid YAML', *base, '--set', 'thermal.clahe=[')


def test_any_parameter_of_the_node_can_be_set(pair, tmp_path):
    """Options win over --set, and --set over --params."""
    params = tmp_path / 'robot.yaml'
    params.write_text('/**: {ros__parameters: {thermal: {polarity: black_hot, memory: 0.5}}}')
    given = ['--set', 'thermal.memory=0.25', '--set', 'registration.homography=[1,0,2,0,1,0,0,0,1]']
    args = cli.build_parser(['fuse']).parse_args(
        ['fuse', *map(str, pair), '-o', 'x.png', '--params', str(params), *given]
        + ['--registration', 'homography', '--polarity', 'white_hot', '--no-compiled']
    )
    assert options.parameters(args) == {
        'thermal.polarity': 'white_hot',
        'thermal.memory': 0.25,
        'registration.homography': [1, 0, 2, 0, 1, 0, 0, 0, 1],
        'registration.mode': 'homography',
        'model.compiled': False,
    }


@contextmanager
def without_privileges():
    """Root may write everywhere: act as nobody meanwhile."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_read_only_output_folder(capsys):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = save(folder / 'rgb.png', 61, 75, 3), save(folder / 'ir.png', 61, 75)
        (folder / 'out').mkdir()
        (folder / 'out').chmod(0o555)
        folder.chmod(0o755)
        with without_privileges():
            arguments = (*pair, '-o', folder / 'out' / 'f.png', '--model', 'max')
            refused(capsys, 'out cannot be written to (Permission denied)', *arguments)
        assert list((folder / 'out').iterdir()) == []


@pytest.mark.parametrize('model', ['default', 'guided_filter'])
def test_every_real_validation_pair_keeps_size_and_type(tmp_path, model):
    vis, ir = validation_pairs() / 'vis', validation_pairs() / 'ir'
    assert fuse(vis, ir, '-o', tmp_path, '--model', model) == 0
    pairs, _ = match_by_stem(vis, ir)
    assert len(list(tmp_path.iterdir())) == len(pairs) == (64 if REAL else 8)
    for pair in pairs:
        source, fused = read_pixels(pair.visible), read_pixels(tmp_path / f'{pair.stem}.png')
        assert (fused.shape, fused.dtype) == (source.shape, source.dtype)


@pytest.mark.parametrize('name', hostile.images())
def test_a_hostile_image_is_refused_in_a_sentence(pair, tmp_path, capsys, name):
    bad = tmp_path / 'bad.png'
    bad.write_bytes(hostile.images()[name])
    refused(capsys, 'bad.png', bad, pair[1], '-o', tmp_path / 'f.png')
    refused(capsys, 'bad.png', pair[0], bad, '-o', tmp_path / 'f.png')
    assert not (tmp_path / 'f.png').exists()


def test_more_pixels_are_read_where_that_is_asked_for(tmp_path, capsys):
    """A drop of bytes may say that it is enormous: a PNG of 20000x20000 has 389 kB."""
    image = np.zeros((48, 64), np.uint8)
    for name in ('vis.png', 'ir.png'):
        cv2.imwrite(str(tmp_path / name), image)
    command = ['fuse', str(tmp_path / 'vis.png'), str(tmp_path / 'ir.png'), '--model', 'max']
    command += ['-o', str(tmp_path / 'fused.png'), '--max-pixels']
    assert cli.main([*command, '3071']) == 2
    assert '64x48, over the cap of 3071 pixels; raise input.max_pixels (--max-pixels)' in (
        capsys.readouterr().err
    )
    assert cli.main([*command, '3072']) == 0


def thermogram(path, low=-20.0, high=60.0):
    """A float32 TIFF in degrees Celsius, 61x75, colder above."""
    degrees = np.linspace(low, high, 61 * 75, dtype=np.float32).reshape(61, 75)
    assert cv2.imwrite(str(path), degrees)
    return path, degrees


def test_a_file_of_degrees_goes_by_degrees(tmp_path, capsys):
    """20 degrees are black and 40 white, to half a grey level: 0.04 degrees a count."""
    rgb = tmp_path / 'rgb.png'
    cv2.imwrite(str(rgb), np.zeros((61, 75), np.uint8))
    tiff, degrees = thermogram(tmp_path / 'ir.tiff')
    out, back = tmp_path / 'f.png', tmp_path / 'degrees.tiff'
    command = (rgb, tiff, '-o', out, '--model', 'max', '--thermal-range', '20:40')
    assert fuse(*command, '--temperatures', back) == 0
    expected = ((degrees - 20) / 20 * 255).clip(0, 255)
    assert np.abs(cv2.imread(str(out), 0) - expected).max() < 1
    assert np.abs(cv2.imread(str(back), -1) - degrees).max() < 0.021
    assert 'hottest 60.0 degrees Celsius at column 74, row 60' in capsys.readouterr().out
    # What a user says of counts holds.
    more = ('--set', 'thermal.unit=counts', '--temperatures', tmp_path / 'no.tiff')
    refused(capsys, 'are not known as temperatures', *command[:2], '-o', tmp_path / 'no.png', *more)
    assert not (tmp_path / 'no.png').exists() and not (tmp_path / 'no.tiff').exists()
    degrees[:, :5] = np.nan
    cv2.imwrite(str(tiff), degrees)
    assert fuse(*command) == 0
    assert not cv2.imread(str(out), 0)[:, :5].any()


def test_temperatures_of_folders_and_of_what_has_none(tmp_path, capsys):
    for name in ('vis', 'ir'):
        (tmp_path / name).mkdir()
    for stem in 'ab':
        save(tmp_path / f'vis/{stem}.png', 61, 75, 3)
        thermogram(tmp_path / f'ir/{stem}.tiff')
    save(tmp_path / 'vis/c.png', 61, 75, 3)
    save(tmp_path / 'ir/c.png', 61, 75, bits=16)
    command = (tmp_path / 'vis', tmp_path / 'ir', '-o', tmp_path / 'out')
    assert fuse(*command, '--temperatures', tmp_path / 'degrees') == 0
    assert sorted(p.name for p in (tmp_path / 'degrees').iterdir()) == ['a.tiff', 'b.tiff']
    assert 'c.png: counts of this camera are not known' in capsys.readouterr().err
    one = (tmp_path / 'vis/c.png', tmp_path / 'ir/c.png', '-o', tmp_path / 'f.png')
    assert fuse(*one, '--temperatures', tmp_path / 'c.tiff') == 2
    assert not (tmp_path / 'c.tiff').exists()
