"""The text prior's networks: parameters, sizes, windows, what a text does."""

import pytest

torch = pytest.importorskip('torch', reason='networks need the train extra')

from multimodal_fusion.networks import textprior
from multimodal_fusion.networks.textprior import TextPrior, maximum, parts, teacher

from .test_networks import images


def small(**changes):
    torch.manual_seed(0)
    network = TextPrior(8, 2.0, (1, 1, 1, 1), 1, **changes).eval()
    torch.nn.init.normal_(network.paint.weight, std=0.05)
    return network


@pytest.mark.parametrize(
    ('network', 'paper'), [(teacher, 40.3), (lambda: TextPrior(32), 15.8), (TextPrior, 4.1)]
)
def test_parameters_are_within_a_tenth_of_the_papers(network, paper):
    """Tables I and V, in millions."""
    made = network()
    count = sum(p.numel() for p in made.parameters())
    assert count / 1e6 == pytest.approx(paper, rel=0.1)
    assert sum(parts(made).values()) == count


@pytest.mark.parametrize('shape', [(1, 1), (40, 72), (65, 64)])
def test_any_size(shape):
    thermal, visible = images(*shape)
    with torch.no_grad():
        assert small()(thermal, visible.expand(-1, 3, -1, -1)).shape == (1, 3, *shape)


def test_it_begins_at_the_maximum():
    thermal, visible = images(40, 50)
    colour = torch.cat((visible, visible * 0.5, visible * 0.2), 1)
    with torch.no_grad():
        found = TextPrior(8, 2.0, (1, 1, 1, 1), 1)(thermal, colour)
    torch.testing.assert_close(found, maximum(thermal, colour))
    grey = (colour * torch.tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, True)
    luma = (found * torch.tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, True)
    torch.testing.assert_close(luma, torch.maximum(thermal, grey))


def test_a_window_sees_two_pixels_beyond_itself():
    """Slices of the padded image are what unfolding would give."""
    image = torch.rand(2, 3, 24, 32)
    found = textprior._around(image, 3, 4)
    padded = torch.nn.functional.pad(image, (2,) * 4)
    expected = padded.unfold(2, 12, 8).unfold(3, 12, 8)
    torch.testing.assert_close(found, expected)


def test_spatial_attention_reaches_no_farther_than_its_window():
    torch.manual_seed(0)
    attend, image = textprior.Spatial(8, 2).eval(), torch.rand(1, 8, 24, 24)
    with torch.no_grad():
        before = attend(image)
        image[..., 0, 0] += 1
        change = (attend(image) - before).abs().sum(1)[0] > 1e-7
    assert change[:8, :8].all() and not change[8:].any() and not change[:, 8:].any()


def test_a_text_changes_the_result_and_no_text_is_no_change():
    torch.manual_seed(0)
    network = small(text=5)
    thermal, visible = images(32, 32)
    text = torch.rand(1, 5)
    with torch.no_grad():
        none, at_first = network(thermal, visible), network(thermal, visible, text)
        torch.testing.assert_close(none, at_first)  # gamma and beta begin at 0
        for layer in network.modulate:
            torch.nn.init.normal_(layer.weight, std=0.5)
        told, zero = network(thermal, visible, text), network(thermal, visible, text * 0)
    assert (told - none).abs().max() > 1e-3
    torch.testing.assert_close(zero, none)
    assert network.texts == 5 and small().texts == 0


def test_the_plain_fusion_has_fewer_parameters():
    assert parts(small(fusion='concatenation'))['fusion'] < parts(small())['fusion'] / 4
