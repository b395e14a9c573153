"""Task networks alone: trained on images of several kinds, exported, gone on from."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.detect.segmentation import SegmentationModel
from multimodal_fusion.errors import UserError
from multimodal_fusion.networks.segmenter import Segmenter
from multimodal_fusion.networks.yolo import Exported, Yolo
from multimodal_fusion.train.methods.task_network import TaskNetwork, seen
from multimodal_fusion.train.run import Checkpoint
from multimodal_fusion.train.tasks.trained import HeldNorm, begin_trained

from ...helpers.runs import train_with

torch.set_num_threads(1)
SMALL = {
    'steps': 2, 'batch': 2, 'evaluate_every': 1, 'samples': 1, 'without': '',
    'task_network.patch': 64, 'task_network.validation_crops': 2,
    'task_network.options.long_side': 160, 'task_network.options.scene_seeds': 3,
    'task_network.options.scene_frames': 1, 'task_network.options.held_out': '',
}  # fmt: skip


def test_a_segmenter_from_the_first_step_to_a_model_file(tmp_path):
    """The model file and the network agree; another run goes on from either."""
    train_with('task-network-segmentation', tmp_path, tmp_path / 'run', SMALL)
    network = Checkpoint.load(tmp_path / 'run').network
    model = SegmentationModel(str(tmp_path / 'run/model.onnx'), allow_unlisted=True)
    assert model.names == ('other', 'person', 'car')
    image = np.random.default_rng(1).integers(0, 256, (96, 160, 3), np.uint8)
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = network(rgb)[0].numpy()
    assert np.abs(model.logits(image) - expected).max() < 1e-3
    assert 'other, person and car' in (tmp_path / 'run/model.md').read_text()
    for start in (tmp_path / 'run', tmp_path / 'run/model.onnx'):
        other = Segmenter(3)
        assert 'the task began from' in begin_trained(str(start), other)
        with torch.no_grad():  # training or not: the statistics are held
            assert np.abs(other.train()(rgb)[0].numpy() - expected).max() < 1e-3
        assert any(isinstance(module, HeldNorm) for module in other.modules())
    header = (tmp_path / 'run/metrics.csv').read_text().splitlines()[0]
    assert header.endswith('train_loss,val_loss,val_miou')


def test_a_detector_goes_on_from_the_one_that_ships(tmp_path, monkeypatch):
    """Its loss begins below that of one from scratch; exporting takes longer than this."""
    monkeypatch.setattr(TaskNetwork, 'export', lambda *_: None)
    losses = {}
    for start in ('', 'detector_person_car'):
        values = SMALL | {'start': start, 'task_network.images': ['thermal', 'max']}
        train_with('task-network', tmp_path, tmp_path / f'run{start}', values)
        row = (tmp_path / f'run{start}/metrics.csv').read_text().splitlines()[1]
        losses[start] = float(row.split(',')[4])
    assert losses['detector_person_car'] < 0.8 * losses['']


def test_the_shipped_detector_as_a_network():
    """The weights of its file, read back, give its boxes."""
    import onnxruntime

    network = Yolo(2)
    begin_trained('detector_person_car', network)
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession('models/detector_person_car.onnx')
    (expected,) = session.run(None, {'images': image.numpy()})
    with torch.no_grad():
        found = Exported(network).eval()(image).numpy()
    assert np.abs(found - expected).max() < 0.05  # pixels
    assert np.abs(found[:, 4:] - expected[:, 4:]).max() < 1e-4


def test_files_of_other_networks_are_refused(tmp_path):
    with pytest.raises(UserError, match=r'does not hold the weights of this network \(levels'):
        begin_trained('models/detector_person_car.onnx', Segmenter(3))
    (tmp_path / 'broken.onnx').write_bytes(b'no model')
    with pytest.raises(UserError, match=r'broken\.onnx cannot be read'):
        begin_trained(str(tmp_path / 'broken.onnx'), Segmenter(3))


def test_smaller_images_than_crops_are_refused(tmp_path):
    values = SMALL | {'task_network.patch': 128}
    with pytest.raises(UserError, match='smaller than the 128-pixel crops: lower patch'):
        train_with('task-network-segmentation', tmp_path, tmp_path / 'run', values)


def test_what_is_seen_through_a_fuser():
    from multimodal_fusion.train.tasks.task import TaskItem

    thermal = np.full((40, 48), 200, np.uint8)
    visible = np.zeros((40, 48, 3), np.uint8)
    visible[..., 0] = 90  # RGB: red
    item = TaskItem('a', 'a', thermal, visible, None)
    assert seen([item], 'visible') == [item]
    assert (seen([item], 'thermal')[0].visible == 200).all()
    fused = seen([item], 'max')[0].visible
    assert fused.shape == visible.shape and fused[..., 0].min() > fused[..., 2].max()
    grey = cv2.cvtColor(fused, cv2.COLOR_RGB2GRAY)
    assert abs(float(grey.mean()) - 200) < 8
