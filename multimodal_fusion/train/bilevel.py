"""Gradients through a step of training: for weights of a loss that are themselves learned."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]
MOVE = 0.01  # length of the step by which second derivatives are taken


def hypergradient(
    parameters: Parameters,
    terms: Callable[[Parameters], Tensor],
    weights: Tensor,
    upper: Callable[[Parameters], Tensor],
    rate: float,
) -> tuple[Tensor, float]:
    """How the upper loss after one step of plain gradient descent depends on the weights.

    parameters: omega, of the network. terms: omega to the unweighted terms of its loss, (terms,).
    weights: beta, (terms,). upper: omega to a scalar. rate: eta, of the step
    omega' = omega - eta grad (beta . terms)(omega).

    Returns d upper(omega') / d beta, (terms,), and upper(omega'). The second derivatives are finite
    differences (CAF, eq. 3): -eta (terms(omega+) - terms(omega-)) / (2 delta), omega± being
    omega ± delta grad upper(omega'), delta = 0.01 / |grad upper(omega')|.
    """
    names = list(parameters)
    here = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    lower = (weights.detach() * terms(here)).sum()
    slopes = torch.autograd.grad(lower, list(here.values()), allow_unused=True)
    there = {
        name: (here[name] - (rate * slope if slope is not None else 0)).detach().requires_grad_()
        for name, slope in zip(names, slopes, strict=True)
    }
    loss = upper(there)
    found = torch.autograd.grad(loss, list(there.values()), allow_unused=True)
    ways = [
        torch.zeros_like(value) if slope is None else slope
        for slope, value in zip(found, there.values(), strict=True)
    ]
    length = torch.stack([way.square().sum() for way in ways]).sum().sqrt()
    if not length > 0:  # such as where all that the upper loss sees is clipped
        return torch.zeros_like(weights), loss.item()
    delta = MOVE / length
    with torch.no_grad():
        ends = []
        for move in (delta, -delta):
            moved = zip(names, ways, strict=True)
            ends.append(terms({name: here[name] + move * way for name, way in moved}))
    return -rate * (ends[0] - ends[1]) / (2 * delta), loss.item()
