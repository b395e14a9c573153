"""Gradients through a step of training, against exact second derivatives."""

import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from torch import nn
from torch.func import functional_call

from multimodal_fusion.train.bilevel import hypergradient

RATE = 0.05


@pytest.fixture
def problem():
    """A network of two layers, three terms of its loss, and an upper loss on other inputs."""
    torch.manual_seed(4)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    inputs, others = torch.randn(2, 20, 5, dtype=torch.double)
    wanted, best = torch.randn(2, 20, 2, dtype=torch.double)

    def terms(parameters):
        out = functional_call(network, parameters, (inputs,))
        gap = out - wanted
        return torch.stack((gap.square().mean(), gap.abs().mean(), out.square().mean()))

    def upper(parameters):
        return (functional_call(network, parameters, (others,)) - best).square().mean()

    return dict(network.named_parameters()), terms, upper


def test_finite_differences_agree_with_exact_second_derivatives(problem):
    parameters, terms, upper = problem
    weights = torch.tensor([0.5, 0.2, 0.3], dtype=torch.double)
    found, loss = hypergradient(parameters, terms, weights, upper, RATE)

    known = weights.clone().requires_grad_()
    slopes = torch.autograd.grad(
        (known * terms(parameters)).sum(), list(parameters.values()), create_graph=True
    )
    moved = {
        name: value - RATE * slope
        for (name, value), slope in zip(parameters.items(), slopes, strict=True)
    }
    exact = torch.autograd.grad(upper(moved), known)[0]
    assert loss == pytest.approx(upper(moved).item(), rel=1e-9)
    assert (found - exact).norm() <= 0.01 * exact.norm() and exact.norm() > 0


def test_the_weights_matter_through_the_step_alone(problem):
    """Where the step has no length, the upper loss does not depend on the weights: there is no
    first-order variant."""
    parameters, terms, upper = problem
    weights = torch.full((3,), 1 / 3, dtype=torch.double)
    assert hypergradient(parameters, terms, weights, upper, 0.0)[0].abs().max() == 0


def test_the_network_is_left_as_it_was(problem):
    parameters, terms, upper = problem
    before = {name: value.detach().clone() for name, value in parameters.items()}
    hypergradient(parameters, terms, torch.ones(3, dtype=torch.double), upper, RATE)
    assert all(torch.equal(before[name], value) for name, value in parameters.items())
    assert all(value.grad is None for value in parameters.values())


def test_where_the_upper_loss_does_not_depend_on_the_network_nor_do_the_weights_matter(problem):
    parameters, terms, _ = problem
    constant = torch.full((), 7.0, requires_grad=True)
    found, loss = hypergradient(parameters, terms, torch.ones(3), lambda _: constant * 1, RATE)
    assert loss == 7.0 and not found.any()
