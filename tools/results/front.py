"""The picture of docs/small-network.md: SSIM and VIF against KC, every method a point.

python -m tools.results.front build/results-test/results.json --out docs/results/front.png
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot

ACROSS, UP = 'KC', ('SSIM', 'VIF')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', type=Path, help='results.json of `evaluate`')
    parser.add_argument('--out', type=Path, required=True, help='the picture, .png')
    args = parser.parse_args()
    results = json.loads(args.results.read_text())
    methods = [m for m in results['models'] if m['source'] != 'source']
    figure, axes = pyplot.subplots(1, len(UP), figsize=(12, 4.5), constrained_layout=True)
    for axis, metric in zip(axes, UP, strict=True):
        for method in methods:
            means = results['summary'][method['name']]
            place = means[ACROSS]['mean'], means[metric]['mean']
            marker = 's' if method['baseline'] else 'o'
            axis.plot(*place, marker, markersize=8, label=method['name'])
        axis.set(xlabel=f'{ACROSS} (higher is better)', ylabel=metric)
        axis.margins(0.1)
        axis.grid(alpha=0.3)
    axes[-1].legend(loc='center left', bbox_to_anchor=(1, 0.5))
    data = results['data']
    figure.suptitle(f'{data["images"]} pairs of {data["name"]}: means; squares are baselines')
    figure.savefig(args.out, dpi=90)


if __name__ == '__main__':
    main()
