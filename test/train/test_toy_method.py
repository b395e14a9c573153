"""A method of somebody else's, by the protocol alone: two networks, two optimisers, one unrolled
step, loss weights that are learnt. It enters by an entry point."""

import sys
from importlib.metadata import EntryPoint

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from multimodal_fusion import cli
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.train.config import Positive, Section
from multimodal_fusion.train.data.pairs import Crops, load_folders
from multimodal_fusion.train.engine import bare
from multimodal_fusion.train.export.onnx import export
from multimodal_fusion.train.losses.fusion import intensity
from multimodal_fusion.train.methods import registry
from multimodal_fusion.train.methods.method import Method

from ..helpers.runs import CONFIGS, kill_under_way, scene, step_of, write_pairs
from .test_train import assert_same_run, weights

POINT = EntryPoint('toy', 'test.train.test_toy_method:Toy', registry.GROUP)


class Blend(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(2, 1, 1)

    def forward(self, thermal, visible):
        return self.mix(torch.cat((thermal, visible), 1))


class Toy(Method):
    """Inner: w0 |F - T| + w1 |F - V|. Outer, over w: |F - max(T, V)| after a step of the inner."""

    name, ships, columns = 'toy', 'last', ('loss', 'outer')

    class Settings(Section):
        rate: Positive

    def __init__(self, settings, engine, data):
        self.engine, self.settings, self.seen = engine, settings, 0
        pairs = load_folders(data, engine.config.seed)
        self.data, self.fingerprint = pairs.description, pairs.fingerprint
        self.validation = pairs.validation
        self.crops = engine.batches(Crops(pairs.train, 32, engine.batch, engine.config.seed))
        self.fuser = engine.network(self.made(settings))
        self.logits = engine.network(nn.Linear(1, 2, bias=False))
        self.of_fuser = engine.optimiser(self.fuser.parameters())
        self.of_logits = engine.optimiser(self.logits.parameters())

    def inner(self, fused, thermal, visible):
        w = self.logits(torch.ones(1, 1)).softmax(1)[0]
        return w[0] * (fused - thermal).abs().mean() + w[1] * (fused - visible).abs().mean()

    def step(self, number):
        images, network = self.crops(number), bare(self.fuser)
        present = dict(network.named_parameters())
        loss = self.inner(functional_call(network, present, images), *images)
        gradients = torch.autograd.grad(loss, list(present.values()), create_graph=True)
        pairs = zip(present.items(), gradients, strict=True)
        moved = {name: value - self.settings.rate * change for (name, value), change in pairs}
        outer = intensity(functional_call(network, moved, images), *images)
        self.of_logits.minimise(outer)
        self.of_fuser.forget()
        loss = self.inner(self.fuser(*images), *images)
        self.of_fuser.minimise(loss)
        self.of_logits.forget()
        self.seen += len(images[0])
        return {'loss': loss.item(), 'outer': outer.item()}

    @torch.no_grad()
    def judge(self):
        pairs = [pair.tensors() for pair in self.engine.share(self.validation)]
        return {'loss': float(np.mean([intensity(self.fuser(*x), *x) for x in pairs]))}

    def weights(self):
        return bare(self.fuser).state_dict()

    def export(self, path):
        export(bare(self.fuser), path, {'name': 'toy'})

    @classmethod
    def made(cls, settings):
        return Blend()

    def state(self):
        return {'seen': self.seen}

    def restore(self, state):
        self.seen = state['seen']


def test_a_method_of_ones_own_trains_is_killed_resumes_and_exports(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, 'entry_points', lambda group: [POINT])
    data, config = write_pairs(tmp_path / 'tiny'), tmp_path / 'toy.yaml'
    text = (CONFIGS / 'fusion.yaml').read_text().partition('fusion:\n')[0]
    config.write_text(text.replace('method: fusion', 'method: toy') + 'toy: {rate: 0.1}\n')
    words = ['train', str(config), 'steps=60', 'batch=2', 'evaluate_every=6', '--data', str(data)]
    assert cli.main([*words, '--out', str(tmp_path / 'whole')]) == 0
    killed = tmp_path / 'killed'
    command = [sys.executable, '-m', 'test.train.test_toy_method', *words, '--out', killed]
    kill_under_way(command, killed / 'metrics.csv')
    assert 0 < step_of(killed) < 60
    assert cli.main([*words, '--out', str(killed), '--resume']) == 0
    assert_same_run(tmp_path / 'whole', killed)
    one, other = weights(tmp_path / 'whole'), weights(killed)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert Fuser.load(str(killed), allow_unlisted=True).fuse(*scene(5)).shape == (48, 56)
    assert cli.main(['export', str(killed), '-o', str(tmp_path / 'x.onnx')]) == 2


if __name__ == '__main__':
    registry.entry_points = lambda group: [POINT]
    sys.exit(cli.main(sys.argv[1:]))
