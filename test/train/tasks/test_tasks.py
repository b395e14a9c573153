"""The tasks of ours: what they read, what a crop keeps, and masks that are refused."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.mask_files import IGNORE
from multimodal_fusion.io.stems import Selection
from multimodal_fusion.train.tasks.detection import DetectionTask
from multimodal_fusion.train.tasks.segmentation import SegmentationTask
from multimodal_fusion.train.tasks.task import TaskCrops, TaskItem, TaskSettings, coloured, large

torch.set_num_threads(1)


def settings(classes, scenes=0, **more):
    return TaskSettings(
        long_side=160,
        scene_seed=2000,
        scene_seeds=scenes,
        scene_frames=2,
        classes=classes,
        held_out='',
        **more,
    )


def test_the_synthetic_road_is_learnt_by_both_tasks(tmp_path):
    """Batches depend on the step alone, losses reach the images."""
    for kind, classes in (
        (DetectionTask, ['person', 'car']),
        (SegmentationTask, ['other', 'person', 'car']),
    ):
        task = kind(tmp_path, settings(classes, scenes=2), Selection())
        assert len(task.items) == 4 and task.items[0].thermal.shape == (120, 160)
        assert len({item.scene for item in task.items}) == 2
        crops = TaskCrops(task, task.items, 64, 2, (1,))
        batch, again = crops(3), crops(3)
        assert torch.equal(batch.visible, again.visible) and batch.visible.shape == (2, 3, 64, 64)
        images = batch.visible.clone().requires_grad_()
        loss = task.loss(images, batch.targets)
        assert torch.autograd.grad(loss, images)[0].abs().sum() > 0
        values = task.metrics(batch.visible, batch.targets).values()
        assert all(0 <= value <= 1 for value in values)


def test_a_mirrored_crop_mirrors_its_boxes(tmp_path):
    """A box from 30 to 50 in a crop from 20 to 84: 10 to 30, mirrored 34 to 54."""
    task = DetectionTask(tmp_path, settings(['person', 'car']), Selection())
    boxes = np.float32([[30, 40, 50, 60], [100, 0, 120, 10]])
    target = boxes, np.array([0, 1]), np.ones(2, np.float32)
    item = TaskItem('a', 'a', np.zeros((120, 160), np.uint8), None, target)
    plain, mirrored = (task.cut(item, 30, 20, 64, flip) for flip in (False, True))
    assert plain.boxes.tolist() == [[10, 10, 30, 30]] and plain.labels.tolist() == [0]
    assert mirrored.boxes.tolist() == [[34, 10, 54, 30]]


@pytest.fixture
def masked(tmp_path):
    """A pair with a mask of three classes."""
    for name, image in (
        ('vis', np.zeros((64, 80, 3), np.uint8)),
        ('ir', np.zeros((64, 80), np.uint8)),
        ('mask', np.full((64, 80), 2, np.uint8)),
    ):
        (tmp_path / 'train' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f'train/{name}/a.png'), image)
    return tmp_path


CLASSES = ['other', 'person', 'car']


def test_masks_that_people_drew(masked):
    item = SegmentationTask(masked, settings(CLASSES), Selection()).items[0]
    assert item.target.shape == (64, 80) and (item.target == 2).all()


@pytest.mark.parametrize(
    ('mask', 'text'),
    [
        (np.zeros((32, 80)), 'is 80x32, its images are 80x64: they must be of one size'),
        (np.full((64, 80), 3), 'has the class 3, and the classes are 3: other, person'),
    ],
)
def test_masks_that_are_refused(masked, mask, text):
    cv2.imwrite(str(masked / 'train/mask/a.png'), mask.astype(np.uint8))
    with pytest.raises(UserError, match=text):
        SegmentationTask(masked, settings(CLASSES), Selection())


def test_what_nobody_knows_is_no_class(masked):
    mask = np.full((64, 80), IGNORE, np.uint8)
    cv2.imwrite(str(masked / 'train/mask/a.png'), mask)
    task = SegmentationTask(masked, settings(CLASSES), Selection())
    target = task.cut(task.items[0], 0, 0, 64, flip=True)
    assert (target == IGNORE).all()
    assert torch.isfinite(task.loss(torch.zeros(1, 3, 64, 64), [target]))


def test_masks_of_people_know_three_numbers(masked):
    """0 is nobody, 1 somebody, 255 unknown; in the task's own numbers."""
    folder = masked / 'train/person_masks_derived'
    folder.mkdir()
    mask = np.zeros((64, 80), np.uint8)
    mask[:10], mask[10:20] = 1, IGNORE
    cv2.imwrite(str(folder / 'a.png'), mask)
    (masked / 'train/mask/a.png').unlink()
    classes = ['other', 'car', 'person']
    target = SegmentationTask(masked, settings(classes), Selection()).items[0].target
    assert (target[:10] == 2).all() and (target[10:20] == IGNORE).all() and not target[20:].any()


def test_the_middle_of_a_box_stands_for_a_mask(masked):
    """A car from (20, 16) to (60, 48): its middle is a car, its corners nobody knows."""
    (masked / 'train/mask/a.png').unlink()
    (masked / 'train/labels').mkdir()
    (masked / 'train/labels/classes.txt').write_text('person\ncar\ndog\n')
    text = '1 0.5 0.5 0.5 0.5\n2 0.05 0.05 0.1 0.1\n'
    (masked / 'train/labels/a.txt').write_text(text)
    task = SegmentationTask(masked, settings(CLASSES, boxes=['labels']), Selection())
    target = task.items[0].target
    assert target[32, 40] == 2 and target[17, 21] == IGNORE and target[3, 3] == IGNORE
    assert target[32, 70] == 0
    share = (target[16:48, 20:60] == 2).mean()
    assert share == pytest.approx(np.pi / 4 * 0.6**2, abs=0.05)
    drawn = masked / 'train/mask/a.png'
    cv2.imwrite(str(drawn), np.full((64, 80), 1, np.uint8))
    both = SegmentationTask(masked, settings(CLASSES, boxes=['labels']), Selection())
    assert len(both.items) == 1 and (both.items[0].target == 1).all()


def test_further_folders(masked, tmp_path):
    assert len(SegmentationTask(masked, settings(CLASSES), Selection()).items) == 1
    more = settings(CLASSES, more=[str(masked / 'train')])
    assert len(SegmentationTask(tmp_path / 'nothing', more, Selection()).items) == 1
    with pytest.raises(UserError, match=r'has no folder labels: expected one'):
        DetectionTask(tmp_path, settings(['person', 'car'], more=[str(tmp_path)]), Selection())


def test_images_that_crops_do_not_fit_in(capsys):
    def item(side):
        return TaskItem('a', 'a', np.zeros((side, 80), np.uint8), None, None)

    assert large([item(64), item(63)], 64)[0].thermal.shape == (64, 80)
    assert '1 of 2 images are smaller than the 64-pixel crops' in capsys.readouterr().err
    with pytest.raises(UserError, match=r'lower patch, or raise options\.long_side'):
        large([item(63)], 64)


def test_the_picture_that_a_task_sees():
    """Luma of (0.5, 0.2, 0.1) is 0.2783; fused 0.4783 lifts every channel by 0.2. RGB goes as it
    is, clipped."""
    visible = torch.tensor([0.5, 0.2, 0.1]).view(1, 3, 1, 1)
    fused = torch.full((1, 1, 1, 1), 0.4783)
    assert coloured(fused, visible).flatten().tolist() == pytest.approx([0.7, 0.4, 0.3], abs=1e-5)
    assert coloured(visible * 3, visible).flatten().tolist() == pytest.approx([1, 0.6, 0.3])
