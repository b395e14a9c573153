"""The commands ``data annotate`` and ``data embed``, with tiny models that know nothing."""

import json
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip('torch', reason='training data need the train extra')

from multimodal_fusion.cli import main
from multimodal_fusion.fusers.text import PHRASES
from multimodal_fusion.scene import Scene
from multimodal_fusion.train.data.captions import named
from multimodal_fusion.train.data.text import Vectors, read_annotations


def test_annotate_writes_a_line_a_pair(tmp_path, capsys):
    """A dark pair among clean ones, and an image that cannot be read."""
    road = Scene(seed=3, freeze_for=0)
    visible = np.clip(road.visible(2.0).astype(np.int32) * 2 + 30, 0, 255).astype(np.uint8)
    for name in ('vis', 'ir'):
        (tmp_path / name).mkdir()
    for stem, image in (('clean', visible), ('dark', visible // 16), ('broken', visible)):
        cv2.imwrite(str(tmp_path / f'vis/{stem}.png'), image)
        cv2.imwrite(str(tmp_path / f'ir/{stem}.png'), road.thermal(2.0))
    (tmp_path / 'vis/broken.png').write_bytes(b'no picture')
    out = tmp_path / 'a.jsonl'
    assert main(['data', 'annotate', '--data', str(tmp_path), '--out', str(out), '--json']) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {'file': str(out), 'pairs': 2, 'with faults': 1}
    assert 'broken.png' in told.err
    found = read_annotations(out)
    assert 'low light' in found['dark'].text
    assert found['clean'].text == 'Visible: clean.\nThermal: clean.'
    assert main(['data', 'annotate', '--data', str(tmp_path / 'none'), '--out', str(out)]) == 2


def test_embed_by_the_package(tmp_path, capsys):
    out = tmp_path / 'text.npz'
    assert main(['data', 'embed', '--out', str(out), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['numbers'] == 256
    assert Vectors.load(out).encoder == 'wordllama'


def test_encoders_that_are_not_there(tmp_path, capsys, monkeypatch):
    out = tmp_path / 'text.npz'
    monkeypatch.setitem(sys.modules, 'wordllama', None)
    assert main(['data', 'embed', '--out', str(out)]) == 2
    assert 'pip install "multimodal_fusion[text]"' in capsys.readouterr().err
    assert main(['data', 'embed', '--encoder', 'clip-l', '--out', str(out)]) == 2
    assert "'clip-l' is neither wordllama nor a folder" in capsys.readouterr().err
    (tmp_path / 'empty').mkdir()
    assert main(['data', 'embed', '--encoder', str(tmp_path / 'empty'), '--out', str(out)]) == 2
    assert not out.exists()


def tokenizer(words, **special):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ['[UNK]', '</s>', *special.values(), *words]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, '[UNK]'))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token='[UNK]',
        pad_token='</s>',
        eos_token='</s>',
        extra_special_tokens=special,
    )


def test_a_captioner_is_asked_about_each_pair(tmp_path, capsys):
    """A LLaVA of random weights and nine words: a Qwen2-VL cannot be made without torchvision."""
    import transformers as hf

    words = tokenizer(['Visible', 'noise', '.', 'Thermal', 'clean', 'blur'], image_token='<image>')
    template = (
        "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image> "
        "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    )
    side = {'height': 28, 'width': 28}
    hf.LlavaProcessor(
        hf.CLIPImageProcessor(size=side, crop_size=side),
        words,
        patch_size=14,
        vision_feature_select_strategy='default',
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(tmp_path / 'model')
    size = {'hidden_size': 32, 'intermediate_size': 32, 'num_attention_heads': 2}
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(
            num_hidden_layers=2, image_size=28, patch_size=14, **size
        ),
        text_config=hf.LlamaConfig(vocab_size=len(words), num_hidden_layers=1, **size),
        image_token_index=words.convert_tokens_to_ids('<image>'),
    )
    model = hf.LlavaForConditionalGeneration(config)
    noise = words.convert_tokens_to_ids('noise')  # all that it may say
    model.generation_config.suppress_tokens = [n for n in range(len(words)) if n != noise]
    model.save_pretrained(tmp_path / 'model')
    for name, image in (('vis', np.zeros((40, 50, 3), np.uint8)), ('ir', np.eye(40, 50) * 255)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / 'a.png'), image)
    out = tmp_path / 'a.jsonl'
    command = ['data', 'annotate', '--data', str(tmp_path), '--out', str(out), '--captioner']
    assert main([*command, str(tmp_path / 'model')]) == 0
    found = read_annotations(out)['a']
    assert found.text.startswith('noise noise')
    assert [f.fault.phrase for f in found.found] == [p for p in PHRASES if 'noise' in p]
    assert main([*command, str(tmp_path / 'vis')]) == 2
    assert 'holds no vision-language model that transformers can load' in capsys.readouterr().err


def test_what_a_caption_names():
    found = named('Visible: low light, some grain.\nThermal: clean')
    assert [(f.fault.image, f.fault.name) for f in found] == [
        ('visible', 'low light'), ('visible', 'noise')]  # fmt: skip
    assert {f.strength for f in found} == {0.5} and named('a street') == []


def test_embed_by_a_clip_text_model(tmp_path, capsys):
    import transformers as hf

    words = tokenizer(sorted({word for phrase in PHRASES for word in phrase.split()}))
    words.save_pretrained(tmp_path / 'clip')
    size = {'hidden_size': 16, 'intermediate_size': 16, 'num_hidden_layers': 1}
    hf.CLIPTextModelWithProjection(
        hf.CLIPTextConfig(
            vocab_size=len(words), num_attention_heads=2, projection_dim=24, eos_token_id=1, **size
        )
    ).save_pretrained(tmp_path / 'clip')
    out = tmp_path / 'text.npz'
    command = ['data', 'embed', '--out', str(out), '--encoder', str(tmp_path / 'clip'), '--json']
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (facts['encoder'], facts['numbers']) == ('clip', 24)
    assert np.allclose(np.linalg.norm(Vectors.load(out).table, axis=1), 1, atol=1e-5)
