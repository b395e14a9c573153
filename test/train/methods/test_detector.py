"""The detector's network, assignment, loss, batches, training run and model file."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from multimodal_fusion.errors import UserError

torch = pytest.importorskip('torch')

from safetensors.torch import load_file

from multimodal_fusion.detect.detector import Detector
from multimodal_fusion.io.stems import Selection, StemList
from multimodal_fusion.networks.yolo import Exported, Yolo, cells, decode
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.data import boxes, crops
from multimodal_fusion.train.data.pasted import Objects
from multimodal_fusion.train.data.soft_boxes import SoftBoxes
from multimodal_fusion.train.losses import detection
from multimodal_fusion.train.losses.assign import assign, complete_iou, corners
from multimodal_fusion.train.methods import detector
from multimodal_fusion.train.run import Checkpoint

from ...helpers.data import DATA, needs_data
from ...helpers.runs import CONFIGS, changes_of, command, kill_under_way, step_of, train_with

torch.set_num_threads(1)  # threads that wait for each other are slower than one
SMALL = {
    'steps': 4, 'batch': 2, 'evaluate_every': 2, 'samples': 1, 'optimiser.warm_up': 1,
    'detector.finish': 2, 'detector.side': 64, 'detector.long_side': 64,
    'detector.scene_seeds': 1, 'detector.scene_frames': 1, 'detector.persons_only': ['p_'],
}  # fmt: skip


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
    folder.mkdir(parents=True)
    (folder / 'classes.txt').write_text('person\ncar\n')
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


def test_samples_batches_and_what_is_held_out(tmp_path):
    data = make_data(tmp_path / 'data')
    how = Config.load(CONFIGS / 'detector.yaml', changes_of(SMALL)).section
    loaded = boxes.load_boxed(data, how, StemList(Path('x'), ('b',), ()))
    assert [s.stem for s in loaded.train['human']] == ['p_c']
    assert [s.stem for s in loaded.train['machine']] == ['a']
    only_people = loaded.train['human'][0]
    assert only_people.labels.tolist() == [0] and only_people.judged.tolist() == [1, 0]
    assert only_people.boxes[0].tolist() == [12, 20, 36, 60]
    assert loaded.train['scene'][0].labels.size
    view = crops.Views()
    for name in crops.VIEWS:
        assert view(only_people.visible, only_people.thermal, name).shape == (80, 96, 3)
    batches = crops.BoxedCrops(loaded, how, 8, 1)
    images, wanted = batches(3)
    assert images.shape == (8, 3, 64, 64) and images.min() >= 0 and images.max() <= 1
    again, _ = batches(3)
    assert torch.equal(images, again) and not torch.equal(images, batches(1)[0])
    for target in wanted:
        assert (target.boxes >= 0).all() and (target.boxes <= 64).all()
        assert (target.boxes[:, 2:] - target.boxes[:, :2] >= boxes._LEAST_SIDE).all()
    image = view(only_people.visible, only_people.thermal, 'max')
    whole, target = crops.whole(image, only_people, 48)
    assert whole.shape == (48, 48, 3) and target.boxes[0].tolist() == [6, 10, 18, 30]
    assert (whole[40:] == boxes.PAD).all()


def road(folder):
    """One pair of another set: 96x80, the visible image shrunken with a black border of 12 columns
    and 8 rows around it; a third class; one region that nobody could name."""
    for name in ('vis', 'ir', 'labels', 'ignore'):
        (folder / name).mkdir(parents=True)
    (folder / 'classes.txt').write_text('bicycle\nperson\ncar\n')
    visible = np.zeros((80, 96, 3), np.uint8)
    visible[8:72, 12:84] = 120
    cv2.imwrite(str(folder / 'vis/r.png'), visible)
    cv2.imwrite(str(folder / 'ir/r.png'), np.full((80, 96), 60, np.uint8))
    (folder / 'labels/r.txt').write_text(
        '0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.25 0.5\n2 0.05 0.5 0.1 0.5\n'
    )
    (folder / 'ignore/r.txt').write_text('0 0.75 0.5 0.0834 0.1\n')
    return folder


def test_further_folders_lose_borders_other_classes_and_what_is_unsure(tmp_path):
    """The person, 36..60 x 20..60, moves by the border to 24..48 x 12..52; the car, 0..9.6, lies
    in the border. The unsure region, 68..76 x 36..44, is grey at 56..64 x 28..36."""
    more = road(tmp_path / 'road')
    changes = changes_of({**SMALL, 'detector.more': [str(more)]})
    how = Config.load(CONFIGS / 'detector.yaml', changes).section
    loaded = boxes.load_boxed(make_data(tmp_path / 'data'), how, StemList(Path('x'), ('b',), ()))
    sample = next(s for s in loaded.train['human'] if s.stem == 'r')
    assert sample.thermal.shape == (64, 72)
    assert sample.boxes.tolist() == [[24, 12, 48, 52]] and sample.labels.tolist() == [0]
    assert (sample.thermal[28:36, 56:64] == boxes.PAD).all() and sample.thermal[27, 60] == 60
    assert 'road' in loaded.description


def objects(folder):
    for kind, level in (('person', 250), ('car', 200)):
        for part, shape in (('vis', (24, 12, 3)), ('ir', (24, 12))):
            (folder / part / kind).mkdir(parents=True)
            for name in ('00_a', '01_a'):
                path = folder / part / kind / f'{name}.png'
                cv2.imwrite(str(path), np.full(shape, level, np.uint8))
    return folder


def test_objects_are_pasted_into_both_images_beside_what_is_there(tmp_path):
    given = Objects(objects(tmp_path / 'objects'))
    assert given.labels.tolist() == [0, 0, 1, 1]
    for seed in range(20):
        random = np.random.default_rng(seed)
        visible, thermal = np.zeros((160, 160, 3), np.uint8), np.zeros((160, 160), np.uint8)
        there, judged = np.float32([[0, 0, 60, 160]]), np.float32([1, 0])
        found, labels = given.paste(visible, thermal, there, np.array([1]), judged, random)
        assert len(found) == len(labels) <= 1 + 3
        assert (labels[1:] == 0).all()  # cars are not judged here, so that none is pasted
        assert not thermal[:, :60].any()
        for x0, y0, x1, y1 in found[1:].astype(int):
            middle = (y0 + y1) // 2, (x0 + x1) // 2
            assert thermal[middle] == 250 and visible[middle].tolist() == [250] * 3
            assert thermal[y0, x0] < 250  # its edge is soft
    fewer = Objects(tmp_path / 'objects', Selection(None, StemList(Path('x'), ('00_*',), ())))
    assert len(fewer.labels) == 2
    with pytest.raises(UserError, match='should hold objects in vis/person and ir/person'):
        Objects(tmp_path)


@needs_data
def test_soft_targets_are_those_of_the_detector_itself():
    """What the cells of the network are told is what YOLOX says there, at another size too."""
    path = DATA / 'weights/yolox_nano.onnx'
    image = cv2.imread(str(DATA / 'ivif/val/vis/msrs_00229D.jpg'))[:416, :416]
    soft = SoftBoxes(path)
    seen, none = soft([[image], []])
    assert none is None and seen.shape == (3549, 6)
    stock = Detector(str(path), score=0.3, allow_unlisted=True, iou=1.0, limit=1000)
    expected = [d for d in stock.detect(image) if d.label in ('person', 'car', 'bus', 'truck')]
    sure = seen[seen[:, 4:].amax(1) >= 0.3]
    assert len(sure) >= len(expected) > 0
    for d in expected:
        gap = (sure[:, :4] - torch.tensor([d.x0, d.y0, d.x1, d.y1])).abs().amax(1)
        assert gap.min() < 0.05
    dark = np.zeros((64, 96, 3), np.uint8)
    smaller = soft([[dark, dark], [dark]])
    assert smaller[0].shape == smaller[1].shape == (126, 6)
    with pytest.raises(UserError, match='is no YOLOX'):
        SoftBoxes('models/mmdrfuse.onnx')


def test_the_loss_against_soft_targets_is_least_at_the_teacher():
    """The network's own boxes and scores as targets: no loss; others: some. Images that the teacher
    did not see count nothing."""
    torch.manual_seed(0)
    network, images = Yolo(widths=(8, 16, 24, 32, 48), neck=24).eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for head in network.heads:
            head.kind[-1].bias.zero_()
        found, logits = decode(network(images), *cells(64, 64))
    own = torch.cat((corners(found.transpose(1, 2)), logits.sigmoid().transpose(1, 2)), 2)
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.ones(2)
    moved = own[0] + torch.tensor([4.0, 4, 4, 4, 0.2, -0.2])
    for soft, same in ((own[0], True), (moved, False)):
        wanted = [detection.Target(*nothing, soft), detection.Target(*nothing)]
        terms = detection.detection_loss(network, images, wanted)
        for name in ('soft_box', 'soft_class'):
            assert (abs(terms[name].item()) < 1e-4) == same


def test_a_configuration_of_before_is_completed():
    """Runs that knew no teacher, objects or further folders load."""
    content = Config.load(CONFIGS / 'detector.yaml').content()
    for name in ('more', 'objects', 'teacher'):
        del content['detector'][name]
    for name in ('soft_box', 'soft_class'):
        del content['detector']['weights'][name]
    how = Config.check(content, 'old').section
    assert how.more == [] and how.teacher == how.objects == ''
    assert how.weights == {'box': 4.0, 'class': 1.0, 'soft_box': 0.0, 'soft_class': 0.0}


def test_the_held_out_images_are_named():
    held = StemList.read('config/train/detector_split.txt').named
    assert len(held) == len(set(held)) == 37
    assert sum(stem.startswith('msrs_') for stem in held) == 12


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    data = make_data(tmp_path / 'data')
    values = {**SMALL, 'steps': 10, 'detector.finish': 5}
    with monkeypatch.context() as patch:  # one model file is enough
        patch.setattr(detector.DetectorMethod, 'export', lambda *_: None)
        last = train_with('detector', data, tmp_path / 'whole', values)
    assert last['step'] == 10
    cut = tmp_path / 'cut'
    words = command('detector', data, cut, values)
    kill_under_way(words, cut / 'metrics.csv', evaluations=3)
    assert 0 < step_of(cut) < 10
    with pytest.raises(UserError, match='already holds a run'):
        train_with('detector', data, cut, values)
    with pytest.raises(UserError, match=r'configuration differs .*detector.gain 1.1 against'):
        train_with('detector', data, cut, {**values, 'detector.gain': 1.1}, resume=True)
    train_with('detector', data, cut, values, resume=True)
    a, b = (load_file(tmp_path / name / 'last.safetensors') for name in ('whole', 'cut'))
    for name, value in a.items():
        assert torch.allclose(value.float(), b[name].float(), atol=1e-5), name
    for name in ('curves.png', 'model.md', 'config.yaml', 'samples/0000010.png'):
        assert (cut / name).stat().st_size
    check_model(cut)


def check_model(run):
    """The model file agrees with the network on sizes other than the one it was exported at."""
    network = Checkpoint.load(run).network
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


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ('side=100', 'detector: side must be a multiple of 32, got 100'),
        ('before={machine: 1}', 'before must name exactly machine, scene, human'),
        ('weights={box: 0, class: 0}', 'weights must name exactly box, class, soft_box'),
        ('gain=0.5', 'gain must be greater than or equal to 1'),
        ('detector.speed=1', "unknown key 'detector.speed'"),
    ],
)
def test_configurations_that_are_refused(change, text):
    with pytest.raises(UserError, match=text):
        Config.load(CONFIGS / 'detector.yaml', [change])
