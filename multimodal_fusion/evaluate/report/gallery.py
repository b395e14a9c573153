"""The pictures of the report: the viewer that flips between layers, best and worst images."""

from __future__ import annotations

from html import escape

from .charts.svg import tag
from .controls import choice
from .pictures import SOURCES, Picture, SceneImages, encode, extremes, layers, lead, scenes
from .view import Model, View

LABELS = {'visible': 'RGB', 'thermal': 'thermal'}


def gallery(view: View, picture: Picture) -> tuple[str, dict]:
    """Return the viewer's markup and the data that report.js needs for it."""
    shown = scenes(view)
    if not shown:
        return '', {}
    names = layers(view)
    stages = ''.join(_scene(view, scene, n, picture, names) for n, scene in enumerate(shown))
    viewer = tag('div', stages, class_='stage', id='stage') + _layer_list(view, names)
    content = tag('div', viewer, class_='viewer', id='viewer', tabindex=0)
    content += tag('div', _strip(view, shown), class_='strip', id='strip')
    return content, _data(view, shown, names)


def extreme_controls(view: View) -> str:
    """Return the choice of the model whose best and worst images are listed."""
    models = [(str(index), model.name) for index, model in enumerate(view.models)]
    first = str(view.models.index(lead(view))) if view.models else ''
    return choice('Model', 'extreme-model', models, first)


def _scene(view: View, scene: SceneImages, number: int, picture: Picture, names: list[str]) -> str:
    image = view.images[scene.index]
    stem = image['stem']
    figures = []
    for name in scene.names:
        label = LABELS.get(name, name)
        source = encode(picture(stem, name))
        shot = tag('img', src=source, alt=f'{stem}: {label}', decoding='sync', draggable='false')
        shot = shot.removesuffix('</img>')
        frame = tag('div', shot, class_='frame')
        figures.append(
            tag('figure', frame + tag('figcaption', escape(label)), data_layer=names.index(name))
        )
    width, height = image['width'], image['height']
    return tag(
        'div',
        ''.join(figures),
        class_='scene',
        data_scene=number,
        style=f'--ratio:{width}/{height};--width:{width / height:.4f}',
        hidden=number > 0,
    )


def _layer_list(view: View, names: list[str]) -> str:
    models = {model.name: model for model in view.models}
    head = tag('span', 'Picture') + tag('span', '', id='layer-metric')
    buttons = [tag('div', head, class_='layers-head')]
    for index, name in enumerate(names):
        content = tag('kbd', str(index + 1)) if index < 9 else tag('kbd', '')
        content += _layer_name(name, models.get(name)) + tag('output', '')
        muted = name not in LABELS and models[name].baseline
        kind = 'layer baseline' if muted else 'layer'
        buttons.append(tag('button', content, type='button', class_=kind, data_layer=index))
    buttons.append(tag('dl', '', class_='layer-values', id='layer-values'))
    return tag('div', ''.join(buttons), class_='layers', id='layers')


def _layer_name(name: str, model: Model | None) -> str:
    style = model.style if model and name not in LABELS else 'source'
    dot = tag('i', class_=f'swatch {style}', aria_hidden='true')
    return dot + tag('span', escape(LABELS.get(name, name)), class_='name')


def _strip(view: View, shown: list[SceneImages]) -> str:
    buttons = []
    for number, scene in enumerate(shown):
        stem = view.images[scene.index]['stem']
        content = tag('span', '', class_='thumb') + tag('b', escape(stem))
        content += tag('small', escape(scene.reason))
        tip = f'{stem}\n{scene.reason}'.strip()
        whole = all(name in scene.names for name in SOURCES)  # others are opened from their card
        button = {'type': 'button', 'data_scene': number, 'data_tip': tip, 'hidden': not whole}
        buttons.append(tag('button', content, **button))
    return ''.join(buttons)


def _data(view: View, shown: list[SceneImages], names: list[str]) -> dict:
    models = [model.name for model in view.models]
    numbers = {scene.index: number for number, scene in enumerate(shown)}
    columns = {
        (model, metric.name): view.values(model, metric.name)
        for model in models
        for metric in view.metrics
    }

    def entry(model: str, metric, index: int) -> list:
        value = metric.show(columns[model, metric.name][index])
        return [view.images[index]['stem'], value, numbers.get(index, -1)]

    return {
        'layers': [models.index(name) if name in models else -1 for name in names],
        'layerOf': [names.index(model) for model in models],
        'metrics': [metric.name for metric in view.metrics],
        'arrows': [metric.arrow for metric in view.metrics],
        'values': [
            [
                [metric.show(columns[model, metric.name][scene.index]) for metric in view.metrics]
                for model in models
            ]
            for scene in shown
        ],
        'extremes': [
            [
                [
                    [entry(model, metric, index) for index in side]
                    for side in extremes(view, model, metric)
                ]
                for metric in view.metrics
            ]
            for model in models
        ],
    }
