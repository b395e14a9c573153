"""evaluate as a user runs it: folders and bags, planted faults, the same numbers every time."""

import json
import math

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.evaluate.metrics import evaluate_triple
from multimodal_fusion.evaluate.summary import interval, rank

from ..helpers import bags
from ..helpers.data import DATA, needs_data
from ..helpers.detectors import detector_bytes

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def pairs(tmp_path):
    """Six smooth random pairs in data/vis and data/ir."""
    for i in range(6):
        for name, channels in (('vis', (3,)), ('ir', ())):
            folder = tmp_path / 'data' / name
            folder.mkdir(parents=True, exist_ok=True)
            noise = rng.integers(0, 256, (64, 80, *channels), np.uint8)
            cv2.imwrite(str(folder / f'{i}.png'), cv2.blur(noise, (5, 5)))
    return tmp_path / 'data'


def evaluate(*arguments):
    return cli.main(['evaluate', *map(str, arguments)])


def load(folder):
    return json.loads((folder / 'results.json').read_text())


def refused(capsys, text, *arguments):
    assert evaluate(*arguments) == 2
    err = capsys.readouterr().err
    assert text in err, err
    assert 'Traceback' not in err


def test_the_numbers_are_those_of_the_metrics(pairs, tmp_path, capsys):
    assert evaluate('--data', pairs, '--models', 'max', '--out', tmp_path / 'r', '--jobs', 1) == 0
    found = load(tmp_path / 'r')
    names = [model['name'] for model in found['models']]
    assert names == ['visible', 'thermal', 'average', 'max', 'laplacian', 'guided_filter',
                     'wavelet_max']  # fmt: skip
    visible = cv2.cvtColor(cv2.imread(str(pairs / 'vis/3.png')), cv2.COLOR_BGR2GRAY)
    thermal = cv2.imread(str(pairs / 'ir/3.png'), cv2.IMREAD_UNCHANGED)
    image = next(image for image in found['images'] if image['stem'] == '3')
    colour_max = cv2.cvtColor(fused_colour(pairs), cv2.COLOR_BGR2GRAY)
    expected = evaluate_triple(thermal, visible, colour_max)
    for metric, value in image['values']['max'].items():
        assert value == pytest.approx(expected[metric], nan_ok=True)
    means = [row['values']['max']['EN'] for row in found['images']]
    assert found['summary']['max']['EN']['mean'] == pytest.approx(np.mean(means))
    out = capsys.readouterr().out
    assert '| max' in out and 'written to' in out
    for name in ('report.html', 'per_image.csv', 'table.md', 'timing.json'):
        assert (tmp_path / 'r' / name).stat().st_size > 100
    lines = (tmp_path / 'r' / 'per_image.csv').read_text().splitlines()
    assert len(lines) == 1 + 6 * 7


def fused_colour(pairs):
    from multimodal_fusion.fusers.fuser import Fuser

    visible = cv2.imread(str(pairs / 'vis/3.png'))
    return Fuser.load('max').fuse(visible, cv2.imread(str(pairs / 'ir/3.png'), 0))


def test_one_process_and_two_with_and_without_cache_give_the_same_file(pairs, tmp_path):
    arguments = ('--data', pairs, '--models', 'max', '--no-timing')
    for name, more in (
        ('one', ('--jobs', 1, '--no-cache')),
        ('two', ('--jobs', 2)),
        ('again', ('--jobs', 2)),
    ):
        assert evaluate(*arguments, '--out', tmp_path / name, *more) == 0
    contents = {(tmp_path / n / 'results.json').read_bytes() for n in ('one', 'two', 'again')}
    assert len(contents) == 1


def test_a_new_model_does_not_recompute_the_others(pairs, tmp_path, monkeypatch):
    from multimodal_fusion.evaluate import measure

    arguments = ('--data', pairs, '--no-baselines', '--no-timing', '--jobs', 1)
    assert evaluate(*arguments, '--models', 'max', '--out', tmp_path / 'a') == 0
    calls = []
    original = measure.evaluate
    monkeypatch.setattr(measure, 'evaluate', lambda *a: calls.append(a) or original(*a))
    assert evaluate(*arguments, '--models', 'max,average', '--out', tmp_path / 'b') == 0
    assert len(calls) == 6  # average on six pairs
    first, second = load(tmp_path / 'a'), load(tmp_path / 'b')
    assert first['summary']['max'] == second['summary']['max']


def test_ready_images_score_like_the_method_that_made_them(pairs, tmp_path):
    out = tmp_path / 'theirs'
    assert cli.main(['fuse', str(pairs / 'vis'), str(pairs / 'ir'), '-o', str(out),
                     '--model', 'max']) == 0  # fmt: skip
    assert evaluate('--data', pairs, '--models', 'max', '--fused', out, '--out', tmp_path / 'r',
                    '--no-baselines', '--jobs', 1) == 0  # fmt: skip
    summary = load(tmp_path / 'r')['summary']
    assert summary['theirs'] == summary['max']


@pytest.mark.parametrize('definition', ['cddfuse', 'vifb'])
def test_other_definitions(pairs, tmp_path, definition):
    assert evaluate('--data', pairs, '--models', 'max', '--out', tmp_path / 'r', '--no-baselines',
                    '--definition', definition, '--jobs', 1) == 0  # fmt: skip
    found = load(tmp_path / 'r')
    assert found['definition'] == definition
    assert ('SSIM_r2' in found['summary']['max']) == (definition == 'cddfuse')


def test_the_protocol_of_mobilefuse(pairs, tmp_path):
    assert evaluate('--data', pairs, '--models', 'max', '--protocol', 'vifb-rank', '--jobs', 1,
                    '--out', tmp_path / 'r') == 0  # fmt: skip
    found = load(tmp_path / 'r')
    assert [metric['name'] for metric in found['metrics']] == [
        'AG', 'CE', 'EI', 'EN', 'MI', 'PSNR', 'RMSE', 'SF', 'SSIM', 'SD',
    ]  # fmt: skip
    assert found['definition'] == 'vifb'
    assert set(found['average_rank']) == {
        'average', 'max', 'laplacian', 'guided_filter', 'wavelet_max',
    }  # fmt: skip


def test_the_protocol_of_kept_contrast_ranks_eight_of_thirteen(pairs, tmp_path):
    assert evaluate('--data', pairs, '--models', 'max', '--protocol', 'contrast-rank', '--jobs', 1,
                    '--out', tmp_path / 'r') == 0  # fmt: skip
    found = load(tmp_path / 'r')
    ranked = ['EN', 'SD', 'SF', 'SCD', 'VIF', 'Qabf', 'SSIM', 'KC']
    beside = ['MI', 'KC_thermal', 'KC_visible', 'amplified', 'saturated']
    assert [metric['name'] for metric in found['metrics']] == ranked + beside
    assert list(found['ranks']['max']) == ranked
    mean = sum(found['ranks']['max'].values()) / 8
    assert found['average_rank']['max'] == mean
    assert found['summary']['max']['saturated']['mean'] == 0


def test_figures_that_only_explain_take_no_part_in_ranks(pairs, tmp_path):
    assert evaluate('--data', pairs, '--models', 'max', '--metrics', 'KC,amplified', '--jobs', 1,
                    '--out', tmp_path / 'r') == 0  # fmt: skip
    assert list(load(tmp_path / 'r')['ranks']['max']) == ['KC']


def test_some_of_the_pairs(pairs, tmp_path, capsys):
    some, apart = tmp_path / 'some.txt', tmp_path / 'apart.txt'
    some.write_text('2\n[45]*\n')
    apart.write_text('0\n')
    given = ('--data', pairs, '--models', 'max', '--metrics', 'EN', '--no-timing', '--jobs', 1)
    assert evaluate(*given, '--stems', some, '--out', tmp_path / 'r') == 0
    found = load(tmp_path / 'r')
    assert [image['stem'] for image in found['images']] == ['2', '4', '5']
    assert found['data']['name'].endswith('data, those of some.txt')
    assert evaluate(*given, '--without', apart, '--out', tmp_path / 'w') == 0
    assert [image['stem'] for image in load(tmp_path / 'w')['images']] == list('12345')
    assert '1 of 6 pairs of' in capsys.readouterr().err
    apart.write_text('4\n')
    refused(capsys, '4 is named in', *given, '--stems', some, '--without', apart,
            '--out', tmp_path / 'x')  # fmt: skip
    refused(capsys, 'choose pairs of a folder', '--bag', pairs, '--stems', some,
            '--out', tmp_path / 'x')  # fmt: skip


def test_ranks_by_hand():
    """EN: higher is better, 3 > 2 = 2 > none; CE: lower is better."""

    def row(en, ce):
        return {'EN': {'mean': en}, 'CE': {'mean': ce}}

    ranks, average = rank(
        {'a': row(3, 9), 'b': row(2, 1), 'c': row(2, 2), 'd': row(math.nan, 3)}, ('EN', 'CE')
    )
    assert [ranks[name]['EN'] for name in 'abcd'] == [1, 2, 2, 4]
    assert [ranks[name]['CE'] for name in 'abcd'] == [4, 1, 2, 3]
    assert average['b'] == 1.5


def test_intervals_cover_the_mean_and_shrink_with_the_number_of_images():
    few, many = rng.normal(5, 1, 10), rng.normal(5, 1, 1000)
    low, high = interval(few)
    assert low < few.mean() < high
    assert interval(many)[1] - interval(many)[0] < (high - low) / 4
    assert interval(np.array([2.0])) == (2.0, 2.0)


PLANTED = bags.Planted(seconds=120.0)


@pytest.fixture(scope='module')
def flight(tmp_path_factory):
    """Two minutes, RGB 30 Hz, thermal 9 Hz, 120 ms apart, one freeze, one jump back."""
    pytest.importorskip('rosbags', reason='bags need rosbags; the ros extra brings it')
    return bags.flight(tmp_path_factory.mktemp('bag') / 'flight', PLANTED)


def test_a_bag_of_two_minutes_shows_what_was_planted(flight, tmp_path):
    """9 Hz for 120 s is 1080 thermal frames. The jump back by 30 s makes one reset, at which at
    most the frames in flight are lost; the freeze from 40 to 41.5 s is noticed 0.3 s late."""
    arguments = ('--bag', flight, '--models', 'max', '--no-baselines', '--every', 5, '--no-timing')
    assert evaluate(*arguments, '--out', tmp_path / 'r', '--thermal-time-offset', 0.12) == 0
    found = load(tmp_path / 'r')['sequence']
    assert 1078 <= found['pairs'] <= 1080
    assert found['unpaired']['thermal'] <= 2
    assert found['resets'] == 1
    assert found['gap_ms']['max'] <= 1000 / 30 / 2 + 0.1
    assert found['apparent_offset_s'] == pytest.approx(0.12, abs=0.001)
    (freeze,) = found['freezes']
    assert freeze['start'] == pytest.approx(40.0, abs=0.15)
    assert freeze['end'] == pytest.approx(41.5, abs=0.15)
    assert found['gaps'] == []
    assert found['flicker']['max'] >= 0
    # Without the offset the pairs are just as many and just as near, and all of them wrong.
    assert evaluate(*arguments, '--out', tmp_path / 'w') == 0
    assert load(tmp_path / 'w')['sequence']['apparent_offset_s'] == pytest.approx(0.12, abs=0.001)


def test_a_bag_gives_the_same_file_twice(tmp_path):
    bag = bags.flight(tmp_path / 'bag', bags.Planted(seconds=6.0, freeze=(2, 3), jump_at=4))
    for name in ('a', 'b'):
        assert (
            evaluate('--bag', bag, '--models', 'max', '--no-timing', '--out', tmp_path / name) == 0
        )
    assert (tmp_path / 'a/results.json').read_bytes() == (tmp_path / 'b/results.json').read_bytes()


def test_stretches_without_pairs_are_found(tmp_path):
    bag = bags.flight(tmp_path / 'bag', bags.Planted(seconds=3.0, freeze=(9, 9), jump_at=9))
    store, lines = bags.read(bag), []
    for topic, time, raw in store:
        second = (time - bags.START) / bags.SECOND
        if not ('thermal' in topic and 1.0 < second < 2.2):
            lines.append((topic, time, raw))
    from multimodal_fusion.io.bag import Bag, BagWriter

    with Bag(bag) as source:
        output = BagWriter(tmp_path / 'holes')
        for topic in source.topics:
            output.add(topic)
    for line in lines:
        output.write(*line)
    output.close()
    assert evaluate('--bag', tmp_path / 'holes', '--models', 'max', '--no-baselines', '--no-timing',
                    '--out', tmp_path / 'r', '--thermal-time-offset', 0.12) == 0  # fmt: skip
    (gap,) = load(tmp_path / 'r')['sequence']['gaps']
    assert (gap['start'], gap['end']) == pytest.approx((1.0, 2.23), abs=0.12)


def test_bad_input(pairs, tmp_path, capsys):
    out = ('--out', tmp_path / 'r')
    (tmp_path / 'empty').mkdir()
    refused(capsys, 'does not exist or is not a folder', '--data', tmp_path / 'none', *out)
    refused(capsys, 'holds no folder; expected one folder of visible and one of thermal images',
            '--data', tmp_path / 'empty', *out)  # fmt: skip
    refused(capsys, "there is no model 'maxx'", '--data', pairs, '--models', 'maxx', *out)
    refused(capsys, "has no metric 'XX'; it has EN", '--data', pairs, '--metrics', 'EN,XX', *out)
    for name in ('vis', 'ir'):
        folder = tmp_path / 'odd' / name
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / f'{name}.png'), rng.integers(0, 256, (64, 64), np.uint8))
    refused(capsys, 'have no file name in common', '--data', tmp_path / 'odd', *out)


def test_a_pair_of_unequal_size_is_left_out_and_told(pairs, tmp_path, capsys):
    cv2.imwrite(str(pairs / 'ir/2.png'), rng.integers(0, 256, (40, 40), np.uint8))
    arguments = ('--data', pairs, '--models', 'max', '--no-baselines', '--out', tmp_path / 'r')
    assert evaluate(*arguments, '--jobs', 1) == 0
    assert '2 is left out: the visible image is 80x64, the thermal one 40x40' in (
        capsys.readouterr().err
    )
    found = load(tmp_path / 'r')
    assert found['data']['images'] == 5 and len(found['data']['left_out']) == 1


def test_bag_without_the_topic(tmp_path, capsys):
    bag = bags.flight(tmp_path / 'bag', bags.Planted(seconds=1.0))
    refused(capsys, 'has no topic /cam; its image topics are', '--bag', bag, '--rgb-topic', '/cam',
            '--out', tmp_path / 'r')  # fmt: skip


@needs_data
@pytest.mark.parametrize('kind', ['mri_pet', 'mri_spect', 'mri_ct'])
def test_medical_pairs_go_through_luma(tmp_path, kind):
    assert evaluate('--data', DATA / 'medical' / kind, '--out', tmp_path / 'r', '--no-timing',
                    '--metrics', 'EN,SSIM') == 0  # fmt: skip
    assert load(tmp_path / 'r')['data']['images'] == 24


def test_a_sheet_has_a_row_an_image_and_a_column_a_method(pairs, tmp_path, capsys):
    """Images of 80x64 become 320x256 below 20 pixels of names; columns: the sources and max."""
    options = ('--models', 'max', '--no-baselines', '--no-timing', '--out', tmp_path / 'r')
    assert evaluate('--data', pairs, *options, '--sheet', '3,1') == 0
    sheet = cv2.imread(str(tmp_path / 'r/sheet.jpg'))
    assert sheet.shape == (20 + 2 * 256, 3 * 320, 3)
    thermal = cv2.imread(str(pairs / 'ir/3.png'))
    found = cv2.resize(sheet[20:276, :320], (80, 64), interpolation=cv2.INTER_AREA)
    assert cv2.absdiff(found[:50], thermal[:50]).mean() < 3
    refused(capsys, "no image '33' was measured; did you mean '3'?",
            '--data', pairs, *options, '--sheet', '33')  # fmt: skip


def test_a_row_of_the_sheet_may_be_a_place_at_full_size(pairs, tmp_path, capsys):
    """A crop is 320x240; of an image of 80x64 it holds all, and black beside it."""
    options = ('--models', 'max', '--no-baselines', '--no-timing', '--out', tmp_path / 'r')
    assert evaluate('--data', pairs, *options, '--sheet', '3:10:60,1') == 0
    sheet = cv2.imread(str(tmp_path / 'r/sheet.jpg'))
    assert sheet.shape == (20 + 240 + 256, 3 * 320, 3)
    thermal = cv2.imread(str(pairs / 'ir/3.png'))
    assert cv2.absdiff(sheet[20:84, :80], thermal).mean() < 4
    assert sheet[20:84, 90:320].mean() < 2
    for wrong in ('3:10', '3:a:b', '3:1:2:3'):
        refused(capsys, f"STEM or STEM:X:Y, got '{wrong}'",
                '--data', pairs, *options, '--sheet', wrong)  # fmt: skip


def test_detection_through_the_fusers(pairs, tmp_path, capsys):
    """A detector that sees a person in the left half whatever it looks at. Pair 0 has one there:
    found. Pair 1 has one in the right half: missed, and a false alarm. Recall and precision 1/2."""
    pytest.importorskip('pycocotools')
    raw = np.zeros((1, 6, 84), np.float32)
    raw[0, :, 3] = (16, 32, 32, 51.2, 0.9, 0)  # 80x64 in 64x64, centred: 64x51 from row 6
    model = tmp_path / 'left.onnx'
    model.write_bytes(detector_bytes({'output': raw}, metadata={'names': ['person', 'car']}))
    labels = pairs / 'labels'
    labels.mkdir()
    (labels / 'classes.txt').write_text('person\ncar\n')
    (labels / '0.txt').write_text('0 0.25 0.5 0.5 1\n')
    (labels / '1.txt').write_text('0 0.75 0.5 0.5 1\n')
    arguments = ('--data', pairs, '--models', 'max', '--no-baselines', '--metrics', 'EN', '--out',
                 tmp_path / 'r', '--jobs', 1, '--detector', model)  # fmt: skip
    refused(capsys, '--detector and --labels go together', *arguments)
    assert evaluate(*arguments, '--labels', labels, '--allow-unlisted') == 0
    found = load(tmp_path / 'r')['detection']
    assert list(found['rows']) == ['visible', 'thermal', 'max', 'both']
    assert (found['detector'], found['images'], found['boxes']) == ('left', 2, 2)
    for row in found['rows'].values():
        assert (row['person']['recall'], row['person']['precision']) == (0.5, 0.5)
    assert 'person: mAP@.5' in (tmp_path / 'r' / 'table.md').read_text()
    html = (tmp_path / 'r' / 'report.html').read_text()
    assert 'id="detection"' in html and 'No labelled object is found in the fused image' in html
    assert 'detection' in json.loads((tmp_path / 'r' / 'timing.json').read_text())


def test_segmentation_through_the_fusers(pairs, tmp_path, capsys):
    """A segmenter that sees class 1 in the left half whatever it looks at. The mask of pair 0 says
    so: both right. That of pair 1 says class 1 everywhere. Of 80x64 twice, class 1: half of 2 found
    of 1.5, 1/1.5; class 0: half right, half of the other picture too much, 0.5/1."""
    logits = np.zeros((1, 2, 2, 2), np.float32)
    logits[0, 1, :, 0], logits[0, 0, :, 1] = 9, 9
    model = tmp_path / 'left.onnx'
    model.write_bytes(detector_bytes({'logits': logits}, metadata={'names': ['other', 'person']}))
    masks = pairs / 'masks'
    masks.mkdir()
    mask = np.zeros((64, 80), np.uint8)
    mask[:, :40] = 1
    cv2.imwrite(str(masks / '0.png'), mask)
    cv2.imwrite(str(masks / '1.png'), np.ones_like(mask))
    arguments = ('--data', pairs, '--models', 'max', '--no-baselines', '--metrics', 'EN', '--out',
                 tmp_path / 'r', '--jobs', 1, '--segmenter', model, '--allow-unlisted')  # fmt: skip
    refused(capsys, '--segmenter and --masks go together', *arguments)
    assert evaluate(*arguments, '--masks', masks) == 0
    found = load(tmp_path / 'r')['segmentation']
    assert list(found['rows']) == ['visible', 'thermal', 'max']
    assert (found['segmenter'], found['images']) == ('left', 2)
    for row in found['rows'].values():
        assert row['iou'] == {'other': 0.5, 'person': pytest.approx(2 / 3)}
        assert row['miou'] == pytest.approx(7 / 12)
        assert row['miou_from'] <= row['miou'] <= row['miou_to']
    assert '| RGB | 0.583' in (tmp_path / 'r' / 'table.md').read_text()
    html = (tmp_path / 'r' / 'report.html').read_text()
    assert 'id="segmentation"' in html and '1: RGB, thermal, max, and as drawn' in html
