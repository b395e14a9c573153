"""Direct search of a small network's weights on the metrics themselves, by CMA-ES.

    python -m tools.evolve runs/plus --data data/ivif --out runs/evolved.safetensors

Gradients cannot see EN, SD or MI, nor 8-bit rounding; an evolution strategy can. It begins at the
weights of a run and maximises, over 16 training pairs chosen once, the mean of the metrics that
`contrast-rank` ranks by, each divided by the pixel maximum's. Validation pairs are measured before
and after, and decide nothing. Needs the extra `evolve`: pip install -c constraints.txt '.[evolve]'.
"""

import argparse
import json
from pathlib import Path

import cma
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from multimodal_fusion.evaluate.summary import PROTOCOLS
from multimodal_fusion.fusers.classical import maximum
from multimodal_fusion.io.stems import Selection
from multimodal_fusion.train.data.pairs import ImagePair, load_folders, spread
from multimodal_fusion.train.run import Checkpoint
from multimodal_fusion.train.scores import Fuse, fuse, metrics, score

RANKED = PROTOCOLS['contrast-rank'].ranked
PAIRS = 16
SIGMA = 0.01  # first standard deviation of a weight


def gain(fused: Fuse, pairs: list[ImagePair], best: dict[str, float]) -> float:
    """The mean over the ranked metrics of value / the maximum's."""
    found = score(fused, pairs, metrics(RANKED))
    return float(np.mean([found[name] / best[name] for name in RANKED]))


def evolve(network: nn.Module, pairs: list[ImagePair], evaluations: int, seed: int) -> float:
    """Set the network to the best weights found; returns their gain."""
    reference = score(maximum, pairs, metrics(RANKED))
    start = parameters_to_vector(network.parameters()).detach().numpy()

    def cost(values: np.ndarray) -> float:
        vector_to_parameters(torch.tensor(values, dtype=torch.float32), network.parameters())
        return -gain(fuse(network), pairs, reference)

    options = {'seed': seed, 'maxfevals': evaluations, 'verbose': -9, 'CMA_diagonal': 50}
    print(json.dumps({'evaluations': 0, 'gain': -cost(start)}), flush=True)
    strategy = cma.CMAEvolutionStrategy(start, SIGMA, options)
    while not strategy.stop():
        tried = strategy.ask()
        strategy.tell(tried, [cost(values) for values in tried])
        found = {'evaluations': strategy.countevals, 'gain': -strategy.result.fbest}
        print(json.dumps(found), flush=True)
    best, middle = strategy.result.xbest, strategy.result.xfavorite
    chosen = min((best, middle), key=cost)
    return -cost(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run', type=Path, help='run folder or checkpoint to begin at')
    parser.add_argument('--data', type=Path, required=True, help='train/{vis,ir} and val/{vis,ir}')
    parser.add_argument('--out', type=Path, required=True, help='checkpoint to write')
    parser.add_argument('--evaluations', type=int, default=400)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = Checkpoint.load(args.run)
    network = checkpoint.network
    data = load_folders(args.data, selection=Selection.read(None, checkpoint.config.without))
    every = metrics((*RANKED, 'MI', 'amplified', 'saturated'))
    before = score(fuse(network), list(data.validation), every)
    found = evolve(network, spread(data.train, PAIRS), args.evaluations, args.seed)
    after = score(fuse(network), list(data.validation), every)
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    source = args.run if args.run.is_file() else args.run / f'{checkpoint.method.ships}.safetensors'
    save_file(weights, args.out, _metadata(source))
    print(json.dumps({'gain': found, 'before': before, 'after': after}, indent=1))


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, 'pt') as file:
        return dict(file.metadata())


if __name__ == '__main__':
    main()
