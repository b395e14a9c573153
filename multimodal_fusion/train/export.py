"""From a checkpoint to a model file: one ONNX graph from 8-bit pixels to 8-bit pixels."""

import contextlib
import json
import logging
import subprocess
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .. import __version__
from ..classical import CLASSICAL
from ..errors import UserError
from ..files import whole_file
from ..networks.mobilefuse import blend
from .config import Config
from .data import Pair, eight_bit
from .recipe import Recipe, find_recipe
from .scores import CARD, fuse, metrics, score

OPSET = 18  # the lowest that torch's exporter writes; onnxruntime reads it from 1.14 (2023) on
IR_VERSION = 8  # the one that came with opset 18: older runtimes refuse newer ones
LICENCE = 'Apache-2.0'
MIN_SIDE = 32


LUMA = (0.299, 0.587, 0.114)  # BT.601, of RGB


class Pixels(nn.Module):
    """A luma network between 8-bit images: (1, H, W, 1) uint8 in, the same out."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        return _pixels(self.network(_unit(thermal), _unit(visible)))


class BlendPixels(nn.Module):
    """A blending network between 8-bit images: the fused one and its mask (1, H, W, 1).

    visible: luma, (1, H, W, 1), or RGB, (1, H, W, 3), which is blended by the mask of its luma with
    thermal as grey.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, visible: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        thermal, visible = _unit(thermal), _unit(visible)
        grey = visible
        if visible.shape[1] == 3:
            luma = sum(w * visible[:, i : i + 1] for i, w in enumerate(LUMA))
            grey = (luma * 255).round() / 255  # as 8-bit luma would come in
        mask = self.network.mask(thermal, grey)
        return _pixels(blend(thermal, visible, mask)), _pixels(mask)


def _unit(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def _pixels(image: Tensor) -> Tensor:
    return eight_bit(image).permute(0, 2, 3, 1)


def export(
    network: nn.Module, path: Path, metadata: dict[str, str], kind: str | None = None
) -> None:
    """Write a luma network as a model file.

    network: called as ``network(thermal, visible)``, float (1, 1, H, W) in [0, 1].
    metadata: goes into the file's metadata properties; kind, parameters and opset are added.
    kind: ``luma``, or for blending networks also ``colour``; None: the network's own.
    Raises UserError.
    """
    kind = kind or network.kind
    blends = getattr(network, 'output', None) == 'blend'
    if kind != network.kind and not (kind == 'colour' and blends):
        raise UserError(f'this network has no {kind} form: it is of the {network.kind} kind')
    sides = {1: torch.export.Dim('H', min=MIN_SIDE), 2: torch.export.Dim('W', min=MIN_SIDE)}
    # Two tensors, not one twice: the exporter would take them for the same input.
    channels = (3 if kind == 'colour' else 1, 1)
    images = tuple(torch.zeros(1, 47, 61, c, dtype=torch.uint8) for c in channels)
    with quiet():
        program = torch.onnx.export(
            (BlendPixels if blends else Pixels)(network).eval(),
            images,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=['visible', 'thermal'],
            output_names=['fused', 'mask'] if blends else ['fused'],
            dynamic_shapes=(sides, sides),
        )
    model = without_traces(program.model_proto)
    model.ir_version = IR_VERSION
    for port in model.graph.output:  # where the exporter names a side by how it came about
        for axis, side in ((1, 'H'), (2, 'W')):
            port.type.tensor_type.shape.dim[axis].dim_param = side
    properties = {
        **metadata,
        'kind': kind,
        'parameters': str(count_parameters(network)),
        'opset': str(OPSET),
    }
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def count_by_part(network: nn.Module) -> dict[str, int]:
    """Parameters of each part of a network, in order."""
    return {name: count_parameters(part) for name, part in network.named_children()}


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what is known of it. ``row`` is its line of metrics.csv."""

    recipe: Recipe
    config: Config
    network: nn.Module
    trained_on: str
    commit: str
    machine: str
    row: dict[str, float]

    @classmethod
    def load(cls, path: Path) -> 'Checkpoint':
        """Read a .safetensors checkpoint, or the best one of a run folder. Raises UserError."""
        path = Path(path)
        if path.is_dir():
            path = path / 'best.safetensors'
        if not path.is_file():
            raise UserError(
                f'{path} is missing: give a run folder of "train", or one of its checkpoints'
            )
        try:
            with safe_open(path, 'pt') as file:
                metadata = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            given = json.loads(metadata['config'])
            if given.get('recipe') == 'detector':
                raise UserError(
                    f'{path} is of a detector; "train" has written its model.onnx beside it'
                )
            config = Config.check(given, f'the configuration in {path}')
            recipe = find_recipe(config.recipe)
            network = recipe.network(config)
            network.load_state_dict(weights)
            return cls(
                recipe,
                config,
                network.eval(),
                metadata['trained_on'],
                metadata['commit'],
                metadata['machine'],
                json.loads(metadata['row']),
            )
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise UserError(f'{path} is not a checkpoint of "train": {error}') from error


def export_checkpoint(
    source: Path,
    path: Path,
    name: str | None = None,
    kind: str | None = None,
    judge: list[Pair] | None = None,
) -> tuple[Checkpoint, dict[str, dict[str, float]]]:
    """Write the model file of a checkpoint or run folder, and its card beside it as .md.

    name: of the model (default: the recipe's). kind: as for `export`. judge: pairs whose metrics go
    on the card, beside those of the pixel maximum and average. Returns the checkpoint and these
    metrics. Raises UserError.
    """
    checkpoint = Checkpoint.load(source)
    config, kind = checkpoint.config, kind or checkpoint.network.kind
    name = name or _name(checkpoint, kind)
    if judge and kind != 'luma':
        raise UserError(f'--scores measures luma models; leave it out for one of the {kind} kind')
    export(
        checkpoint.network,
        path,
        {
            'name': name,
            'trained_on': checkpoint.trained_on,
            'config_hash': config.hash,
            'commit': checkpoint.commit,
            'licence': LICENCE,
        },
        kind,
    )
    table = _table(name, checkpoint.network, judge) if judge else {}
    with whole_file(Path(path).with_suffix('.md')) as temporary:
        temporary.write_text(card(checkpoint, name, kind, table))
    return checkpoint, table


def _table(name: str, network: nn.Module, pairs: list[Pair]) -> dict[str, dict[str, float]]:
    fusers = {name: fuse(network), 'max': CLASSICAL['max'], 'average': CLASSICAL['average']}
    scores = metrics(CARD)
    return {name: score(fuser, pairs, scores) for name, fuser in fusers.items()}


def _name(checkpoint: Checkpoint, kind: str) -> str:
    name = checkpoint.config.recipe
    return name if kind == checkpoint.network.kind else f'{name}_{kind}'


def _judged(config: Config) -> str:
    if config.synthesis is not None:
        return 'whole images made as in training'
    if config.method is None:
        return 'whole images'
    return (
        f'the middles, {config.method.validation_side} pixels, of {config.method.validation_pairs}'
    )


def _defined(config: Config) -> str:
    simple = config.method is None and config.synthesis is None
    return 'losses' if simple else 'objective'


def card(checkpoint: Checkpoint, name: str, kind: str, table: dict[str, dict[str, float]]) -> str:
    """The model card, Markdown."""
    config, row = checkpoint.config, checkpoint.row
    pixels = {'luma': 'luma', 'colour': 'RGB'}[kind]
    parts = ''
    if config.method is None and len(counts := count_by_part(checkpoint.network)) > 2:
        listed = ', '.join(f'{name} {count}' for name, count in counts.items())
        parts = f'\n| by part | {listed} |'
    limits = textwrap.fill(
        f'{checkpoint.recipe.limits} Not for measuring temperature.'.strip(), 100
    )
    terms = ' + '.join(f'{weight:g} {name}' for name, weight in config.weights.items())
    scores = '\n'.join(
        f'| {name.removeprefix("val_")} | {value:.5f} |'
        for name, value in row.items()
        if name.startswith('val_')
    )
    return f"""# {name}

{checkpoint.recipe.description}.

| | |
|---|---|
| kind | {kind}: 8-bit visible {pixels} and white-hot thermal in, fused {pixels} out |
| parameters | {count_parameters(checkpoint.network)} |{parts}
| trained on | {checkpoint.trained_on} |
| configuration | {config.hash}, seed {config.seed} |
| training | step {row['step']} of {config.steps}, {config.batch} crops of \
{config.patch}x{config.patch} a step, {row['seconds'] / 60:.1f} min |
| machine | {checkpoint.machine} |
| code | {checkpoint.commit} |
| licence of the weights | {LICENCE}; the training data have terms of their own |

Loss: {terms}, defined in
`multimodal_fusion/train/{_defined(config)}.py`.
On the validation pairs ({_judged(config)}, 8-bit output, lower is better):

| term | mean |
|---|---|
{scores}
{_metrics(table)}
## Intended use
Fusing registered thermal and visible images, for people and for detectors.

## Limits
{limits}
"""


def _metrics(table: dict[str, dict[str, float]]) -> str:
    """The section of the card with the metrics, or nothing."""
    if not table:
        return ''
    lines = [f'| | {" | ".join(CARD)} |', '|---' * (len(CARD) + 1) + '|']
    for name, row in table.items():
        lines.append(f'| {name} | {" | ".join(f"{row[metric]:.3f}" for metric in CARD)} |')
    return f"""
## Scores
Means over all validation pairs, whole images, 8-bit luma, clipped, never stretched; higher is
better. Our definitions: EN in bits, MI in nats; MI, SCD, VIF and SSIM are sums over both sources.
MI of max is degenerate: it copies one source per pixel.

{chr(10).join(lines)}
"""


def code_version() -> str:
    """The commit of the checkout this runs from, else the version of the package."""
    checkout = Path(__file__).resolve().parents[2]
    command = ['git', '-C', str(checkout), 'describe', '--always', '--dirty', '--abbrev=12']
    if (checkout / '.git').exists():
        with contextlib.suppress(OSError):
            described = subprocess.run(command, capture_output=True, text=True)
            if described.returncode == 0:
                return described.stdout.strip()
    return f'version {__version__}'


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes for debugging: stack traces name files of this machine."""
    model.doc_string = ''
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.graph.doc_string = ''
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        part.doc_string = ''
        del part.metadata_props[:]
    return model


@contextlib.contextmanager
def quiet():
    """Silence the exporter's remarks about itself; they are not for the person who exports."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            yield
        finally:
            logger.setLevel(level)
