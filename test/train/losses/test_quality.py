"""SSIM, GMSD, the comprehensive loss and distillation compute what their equations say."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.errors import UserError
from multimodal_fusion.networks.vgg import BLOCKS, CHANNELS, VGG19
from multimodal_fusion.train.losses import fusion, mmdrfuse, quality
from multimodal_fusion.train.losses.distil import digest, distance, distillation


def images(count=2, height=24, width=21, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((count, 1, height, width)))


def ssim_by_definition(a, b):
    places = np.arange(11) - 5
    taps = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    taps /= taps.sum()
    values = []
    for row in range(a.shape[0] - 10):
        for column in range(a.shape[1] - 10):
            x, y = (image[row : row + 11, column : column + 11] for image in (a, b))
            mx, my = (taps * x).sum(), (taps * y).sum()
            vx, vy = (taps * (x - mx) ** 2).sum(), (taps * (y - my) ** 2).sum()
            cov = (taps * (x - mx) * (y - my)).sum()
            top = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
            values.append(top / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return np.mean(values)


def gmsd_by_definition(a, b):
    def steep(image):
        image = 255 * image[: len(image) // 2 * 2, : image.shape[1] // 2 * 2]
        small = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
        found = np.zeros((small.shape[0] - 2, small.shape[1] - 2))
        for row in range(found.shape[0]):
            for column in range(found.shape[1]):
                window = small[row : row + 3, column : column + 3]
                across = (window[:, 2] - window[:, 0]).sum() / 3
                down = (window[2] - window[0]).sum() / 3
                found[row, column] = np.hypot(across, down)
        return found

    x, y = steep(a), steep(b)
    return np.std((2 * x * y + 170) / (x**2 + y**2 + 170))


@pytest.mark.parametrize(
    ('function', 'definition', 'best'),
    [(quality.ssim, ssim_by_definition, 1), (quality.gmsd, gmsd_by_definition, 0)],
)
def test_quality_follows_its_definition_for_each_image(function, definition, best):
    a, b = images(seed=0), images(seed=1)
    expected = [definition(x[0].numpy(), y[0].numpy()) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(function(a, b), torch.tensor(expected).double(), atol=1e-8, rtol=0)
    torch.testing.assert_close(function(a, a), torch.full((2,), best).double())


def test_quality_can_be_differentiated_even_on_flat_images():
    flat = torch.zeros(1, 1, 16, 16, requires_grad=True)
    (quality.gmsd(flat, images(1, 16, 16).float()) + quality.ssim(flat, flat)).sum().backward()
    assert flat.grad.isfinite().all()


def test_gradient_forms_differ_as_the_paper_and_its_code_do():
    flat, edge = torch.full((1, 1, 12, 12), 0.5), torch.full((1, 1, 12, 12), 0.1)
    edge[..., 6:] = 0.4  # below the flat image: the maximum has no edge at all
    cost = {
        (form, name): mmdrfuse.gradient(fused, edge, flat, form).item()
        for form in mmdrfuse.GRADIENTS
        for name, fused in (('edge', edge), ('flat', flat), ('inverted', 1 - edge))
    }
    assert max(cost['paper', 'edge'], cost['paper', 'inverted']) < 1e-6 < cost['paper', 'flat']
    assert cost['code', 'flat'] == 0 < cost['code', 'edge']
    assert cost['signed', 'edge'] == 0 < cost['signed', 'inverted']
    assert mmdrfuse.gradient(edge, edge, flat, 'signed') == fusion.gradient(edge, edge, flat)


def test_perception_is_a_relative_error_per_image():
    target = [torch.full((2, 3, 8, 8), 4.0), torch.full((2, 5, 4, 4), 100.0)]
    features = [level.clone() for level in target]
    features[0][1] += 2
    found = mmdrfuse.perception(features, target)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.25]))


def test_distillation_compares_directions_of_channel_sums():
    a = torch.zeros(2, 2, 3, 3)
    a[:, 0, 0, 0] = torch.tensor([1.0, 2.0])
    b = torch.zeros(2, 4, 3, 3)
    b[0, :, 0, 0] = 5.0  # the same direction
    b[1, :, 1, 1] = 5.0  # a right angle
    assert distance(digest(a), digest(b), 'sample').item() == pytest.approx(2**0.5 / 2, abs=1e-5)
    whole = [digest(x).reshape(-1) / digest(x).norm() for x in (a, b)]
    expected = (whole[0] - whole[1]).norm().item()
    assert distance(digest(a), digest(b), 'batch').item() == pytest.approx(expected, abs=1e-5)
    same, other = (digest(a), digest(a)), (digest(b), digest(a))
    both, output = (distillation(same, other, 'sample', what).item() for what in ('both', 'output'))
    assert output == pytest.approx(0, abs=1e-5)
    assert both == pytest.approx(2**0.5 / 4, abs=1e-5)


def test_distillation_has_a_gradient_where_student_and_teacher_agree():
    student = torch.rand(2, 9, requires_grad=True)
    distance(student, student.detach().clone(), 'sample').backward()
    assert student.grad.isfinite().all()


@pytest.fixture(scope='module')
def weights():
    """VGG-19 with random weights, in its true shape but for 1/16 of the channels."""
    random, inputs, found = np.random.default_rng(0), 3, {}
    for block, count in enumerate(BLOCKS):
        for i in range(count):
            outputs = CHANNELS[block] // 16
            name = f'conv{block + 1}_{i + 1}'
            found[f'{name}.weight'] = random.normal(0, 0.1, (outputs, inputs, 3, 3)).astype('f2')
            found[f'{name}.bias'] = random.random(outputs).astype('f2')
            inputs = outputs
    return found


def test_vgg_reads_both_kinds_of_weights_and_gives_five_features(weights, tmp_path):
    np.savez(tmp_path / 'vgg.npz', **weights)
    places = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    names = list(dict.fromkeys(key.split('.')[0] for key in weights))
    state = {
        f'features.{place}.{part}': torch.from_numpy(weights[f'{name}.{part}'])
        for place, name in zip(places, names, strict=True)
        for part in ('weight', 'bias')
    }
    torch.save(state, tmp_path / 'vgg.pth')
    image = images(1, 32, 48).float()
    for file, first in (
        ('vgg.npz', 255 * image - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)),
        ('vgg.pth', (image - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
         / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)),
    ):  # fmt: skip
        features = VGG19.load(tmp_path / file)(image)
        shapes = [tuple(level.shape[1:]) for level in features]
        assert shapes == [(c // 16, 32 >> i, 48 >> i) for i, c in enumerate(CHANNELS)]
        x = first
        for i in (1, 2):
            weight, bias = (
                torch.from_numpy(weights[f'conv1_{i}.{part}']).float()
                for part in ('weight', 'bias')
            )
            x = torch.relu(torch.conv2d(x, weight, bias, padding=1))
        torch.testing.assert_close(features[0], x, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('content', [b'', b'no archive', None])
def test_what_is_not_vgg_is_refused(tmp_path, content):
    for suffix in ('.npz', '.pth'):
        path = tmp_path / f'vgg{suffix}'
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match='does not hold the weights of VGG-19'):
            VGG19.load(path)
