"""The detector's network, assignment, loss, batches, training run and model file."""

import csv
import shutil

import cv2
import numpy as np
import pytest
import yaml

from multimodal_fusion.errors import UserError

torch = pytest.importorskip('torch')

from safetensors.torch import load_file

from multimodal_fusion.detect.detector import Detector
from multimodal_fusion.host.share import share_file
from multimodal_fusion.networks.yolo import Exported, Yolo, cells, decode
from multimodal_fusion.train.data import boxes
from multimodal_fusion.train.export import detector as detector_export
from multimodal_fusion.train.export.detector import DetectorCheckpoint, export_detector
from multimodal_fusion.train.losses import detection
from multimodal_fusion.train.losses.assign import assign, complete_iou, corners
from multimodal_fusion.train.methods import detector

torch.set_num_threads(1)  # threads that wait for each other are slower than one
CONFIG = share_file('config/train/detector.yaml')


def targets(*counts):
    torch.manual_seed(1)
    found = []
    for count in counts:
        start = torch.rand(count, 2) * 60
        found.append(
            detection.Target(
                torch.cat((start, start + 10 + 40 * torch.rand(count, 2)), 1),
                torch.arange(count) % 2,
                torch.ones(2),
            )
        )
    return found


def test_the_network_has_about_a_million_parameters_and_one_box_a_cell():
    """96x64: 12 * 8 + 6 * 4 + 3 * 2 = 126 cells, of 4 numbers of the box and 2 classes."""
    network = Yolo().eval()
    assert 0.8e6 < sum(p.numel() for p in network.parameters()) < 1.2e6
    assert network(torch.rand(2, 3, 64, 96)).shape == (2, 6, 126)


def test_cells_and_decoding_by_hand():
    """64x96: cell 13 is (x, y) = (1, 1) of stride 8, centre (12, 12). Offset (0.5, -0.25) strides
    and size e^0, e^ln2 strides give cx, cy, w, h = (16, 10, 8, 16); the first cell of stride 32 is
    number 12 * 8 + 6 * 4 = 120 with centre (16, 16)."""
    centres, strides = cells(64, 96)
    assert centres[:, 13].tolist() == [12, 12] and centres[:, 120].tolist() == [16, 16]
    assert strides[[13, 120]].tolist() == [8, 32]
    raw = torch.zeros(1, 6, 126)
    raw[0, :4, 13] = torch.tensor([0.5, -0.25, 0, np.log(2)])
    assert decode(raw, centres, strides)[0][0, :, 13].tolist() == pytest.approx([16, 10, 8, 16])


def test_complete_iou():
    """Equal boxes: 1. Apart: less than 0, and less the farther. Same centre, half the width:
    IoU 0.5 less the term of the aspect ratio, v = 4/pi^2 (atan 1 - atan 0.5)^2 = 0.04196, which
    counts v^2 / (0.5 + v) = 0.00325."""
    box = torch.tensor([0.0, 0, 10, 10])
    assert complete_iou(box, box).item() == pytest.approx(1)
    near, far = (complete_iou(box, box + shift).item() for shift in (20, 40))
    assert far < near < 0
    narrow = torch.tensor([2.5, 0, 7.5, 10])
    assert complete_iou(narrow, box).item() == pytest.approx(0.5 - 0.00325, abs=1e-4)


def test_assignment_prefers_the_cell_that_scores_and_overlaps():
    """Two cells predict the box itself, one with score 0.9 and one with 0.1; a third predicts
    something else, a fourth lies far away. The two answer; the better one is asked for IoU 1, the
    other for sqrt(0.1 / 0.9) of it."""
    truth = torch.tensor([[0.0, 0, 20, 20]])
    predicted = torch.tensor([[0.0, 0, 20, 20], [0, 0, 20, 20], [15, 15, 20, 20], [0, 0, 20, 20]])
    centres = torch.tensor([[4.0, 4], [12, 4], [4, 12], [100, 100]])
    scores = torch.tensor([[0.0, 0.9], [0, 0.1], [0, 0.0], [0, 0.9]])
    owner, target = assign(
        scores, predicted, centres, torch.full((4,), 8.0), truth, torch.tensor([1])
    )
    assert owner.tolist() == [0, 0, -1, -1]
    assert target.tolist() == pytest.approx([1, (0.1 / 0.9) ** 0.5, 0, 0], abs=1e-4)


def test_a_box_narrower_than_a_stride_gets_a_cell():
    centres, strides = cells(64, 64)
    centres, truth = centres.T, torch.tensor([[17.0, 8, 19, 30]])
    predicted = corners(torch.cat((centres, torch.full((84, 2), 8.0)), 1))
    owner, _ = assign(
        torch.full((84, 2), 0.5), predicted, centres, strides, truth, torch.tensor([0])
    )
    assert (owner == 0).any()


def test_the_gradient_reaches_the_image_and_the_loss_falls():
    """Forty steps on one batch; then the loss seen from the image: finite, and not zero."""
    torch.manual_seed(0)
    network, images = Yolo(widths=(8, 16, 24, 32, 48), neck=24), torch.rand(2, 3, 96, 96)
    wanted = targets(3, 0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    values = []
    for _ in range(40):
        loss = sum(detection.detection_loss(network.train(), images, wanted).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.6 * values[0]
    images.requires_grad_(True)
    terms = detection.detection_loss(network.eval(), images, wanted)
    (terms['box'] + terms['class']).backward()
    assert torch.isfinite(images.grad).all() and images.grad.abs().sum() > 0
    assert images.grad[1].abs().sum() > 0  # of the image without boxes: the scores' share


def test_a_class_that_nobody_labelled_is_not_judged():
    """What the network says of the second class changes nothing where it is not labelled."""
    torch.manual_seed(0)
    network, images = Yolo(widths=(8, 16, 24, 32, 48), neck=24).eval(), torch.rand(1, 3, 64, 64)
    target = detection.Target(
        torch.tensor([[8.0, 8, 40, 40]]), torch.tensor([0]), torch.tensor([1.0, 0])
    )
    losses = []
    for bias in (-5.0, 5.0):
        for head in network.heads:
            torch.nn.init.constant_(head.kind[-1].bias[1:], bias)
        losses.append(detection.detection_loss(network, images, [target])['class'].item())
    assert losses[0] == pytest.approx(losses[1])


def make_data(folder):
    """Two training pairs and one of validation, of 96x80, with one box of each class."""
    random = np.random.default_rng(0)
    for split, stems in (('train', ('a', 'b', 'p_c')), ('val', ('v',))):
        for name in ('vis', 'ir', 'labels', 'labels_pseudo'):
            (folder / split / name).mkdir(parents=True)
        for stem in stems:
            for name, channels in (('vis', (3,)), ('ir', ())):
                noise = random.integers(0, 256, (80, 96, *channels), np.uint8)
                cv2.imwrite(str(folder / split / name / f'{stem}.png'), cv2.blur(noise, (5, 5)))
            human = split == 'train' and stem != 'a'
            path = folder / split / ('labels' if human else 'labels_pseudo') / f'{stem}.txt'
            path.write_text('0 0.25 0.5 0.25 0.5\n1 0.7 0.5 0.4 0.4\n')
    return folder


def make_config(path, **changes):
    content = yaml.safe_load(CONFIG.read_text())
    content |= {
        'steps': 4, 'finish': 2, 'batch': 2, 'side': 64, 'long_side': 64, 'evaluate_every': 2,
        'scene_seeds': 1, 'scene_frames': 1, 'samples': 1, 'warm_up': 1, 'persons_only': ['p_'],
    } | changes  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return path


def test_samples_batches_and_what_is_held_out(tmp_path):
    data = make_data(tmp_path / 'data')
    config = detector.DetectorConfig.load(make_config(tmp_path / 'c.yaml', batch=8))
    loaded = boxes.load_boxed(data, config, ['b'])
    assert [s.stem for s in loaded.train['human']] == ['p_c']
    assert [s.stem for s in loaded.train['machine']] == ['a']
    only_people = loaded.train['human'][0]
    assert only_people.labels.tolist() == [0] and only_people.judged.tolist() == [1, 0]
    assert only_people.boxes[0].tolist() == [12, 20, 36, 60]
    assert loaded.train['scene'][0].labels.size
    for view in boxes.VIEWS:
        assert only_people.view(view).shape == (80, 96, 3)
    crops = boxes.Crops(loaded, config)
    images, wanted = crops(3)
    assert images.shape == (8, 3, 64, 64) and images.min() >= 0 and images.max() <= 1
    again, _ = crops(3)
    assert torch.equal(images, again) and not torch.equal(images, crops(1)[0])
    for target in wanted:
        assert (target.boxes >= 0).all() and (target.boxes <= 64).all()
        assert (target.boxes[:, 2:] - target.boxes[:, :2] >= boxes._LEAST_SIDE).all()
    whole, target = boxes.whole(only_people, 'max', 48)
    assert whole.shape == (48, 48, 3) and target.boxes[0].tolist() == [6, 10, 18, 30]
    assert (whole[40:] == boxes.PAD).all()


def test_the_held_out_images_are_named():
    held = detector.held_out_stems('config/train/detector_split.txt')
    assert len(held) == len(set(held)) == 37
    assert sum(stem.startswith('msrs_') for stem in held) == 12


def test_a_run_that_was_interrupted_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    data, config = make_data(tmp_path / 'data'), make_config(tmp_path / 'c.yaml')
    with monkeypatch.context() as patch:  # one model file is enough
        patch.setattr(detector_export, 'export_detector', lambda *_: None)
        last = detector.train_detector(config, data, tmp_path / 'whole', False)
    assert last['step'] == 4
    real, calls = detector.detection_loss, []

    def cut(*arguments):
        calls.append(1)
        if len(calls) > 6:  # two evaluations of nine images, eight at once, and two steps
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(detector, 'detection_loss', cut)
    with pytest.raises(KeyboardInterrupt):
        detector.train_detector(config, data, tmp_path / 'cut', False)
    monkeypatch.undo()
    with open(tmp_path / 'cut/metrics.csv') as file:
        assert [row['step'] for row in csv.DictReader(file)][-1] == '2'
    with pytest.raises(UserError, match='already holds a run'):
        detector.train_detector(config, data, tmp_path / 'cut', False)
    other = make_config(tmp_path / 'other.yaml', gain=1.1)
    with pytest.raises(UserError, match='the configuration differs'):
        detector.train_detector(other, data, tmp_path / 'cut', True)
    detector.train_detector(config, data, tmp_path / 'cut', True)
    a, b = (load_file(tmp_path / name / 'last.safetensors') for name in ('whole', 'cut'))
    for name, value in a.items():
        assert torch.allclose(value.float(), b[name].float(), atol=1e-5), name
    for name in ('curves.png', 'model.md', 'config.yaml', 'samples/0000004.png'):
        assert (tmp_path / 'cut' / name).stat().st_size
    check_model(tmp_path / 'cut')
    shutil.rmtree(tmp_path / 'cut')


def check_model(run):
    """The model file agrees with the network on sizes other than the one it was exported at."""
    network = DetectorCheckpoint.load(run).network
    found = Detector(str(run / 'model.onnx'), allow_unlisted=True)
    assert found.layout == 'yolov8' and found.names == ('person', 'car')
    assert found.metadata['layout'] == 'yolov8' and found.input_size((80, 96)) == (64, 64)
    for height, width in ((64, 64), (96, 32), (128, 224)):
        image = torch.rand(1, 3, height, width)
        with torch.no_grad():
            expected = Exported(network).eval()(image).numpy()
        given = found._run(image.numpy(), (height, width))['boxes']
        assert given.shape == expected.shape
        assert np.abs(given - expected).max() < 1e-3


WRONG = [
    ({'side': 100}, 'side and long_side must be multiples of 32'),
    ({'before': {'machine': 1}}, 'before must name exactly machine, scene, human'),
    ({'recipe': 'mmdrfuse'}, "is for recipe 'mmdrfuse', not for detector"),
    ({'batch': 0}, 'batch must be a whole number of at least 1'),
    ({'speed': 1}, "unknown key 'speed'"),
]


@pytest.mark.parametrize(('changes', 'text'), WRONG)
def test_configurations_that_are_refused(tmp_path, changes, text):
    with pytest.raises(UserError, match=text):
        detector.DetectorConfig.load(make_config(tmp_path / 'c.yaml', **changes))


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    (tmp_path / 'x.safetensors').write_bytes(b'nothing')
    with pytest.raises(UserError, match='is not a checkpoint of "train detector"'):
        export_detector(tmp_path / 'x.safetensors', tmp_path / 'm.onnx')
