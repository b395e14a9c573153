"""What a vision-language model of the user's says is wrong with a pair, through transformers."""

from pathlib import Path

import cv2
import numpy as np

from ...errors import UserError, quoted, told
from ...fusers.text import FAULTS, THERMAL, VISIBLE, faults_in
from .faults import Found

SIDE = 448  # pixels, the longer one of what the model sees
ANSWER = 64  # tokens, at most
STRENGTH = 0.5  # of what a caption names: words have none


def _asked() -> str:
    names = {
        image: ', '.join(name for of, name in FAULTS if of == image) for image in (VISIBLE, THERMAL)
    }
    return (
        'The first image is from a visible camera, the second from a thermal camera; they show the '
        'same scene. Say what is wrong with their quality in two lines and nothing else. '
        f'"Visible:" with any of: {names[VISIBLE]}; or clean. '
        f'"Thermal:" with any of: {names[THERMAL]}; or clean.'
    )


class Captioner:
    """``Captioner(folder)(visible, thermal)`` is the model's answer.

    folder: of a model with weights, processor and chat template (Qwen2-VL or newer) as transformers
    saves one. Nothing is fetched. Raises UserError where it can't be used.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise UserError(f'the captioner {quoted(str(folder))} is no folder with a model')
        try:
            import torch
            from PIL import Image
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ImportError:
            raise UserError(
                'a captioner needs transformers: pip install "multimodal_fusion[text]"'
            ) from None
        try:
            self._processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
            self._model = AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True
            ).eval()
        except Exception as error:  # whatever the library makes of a folder
            raise UserError(
                f'{folder} holds no vision-language model that transformers can load: {told(error)}'
            ) from error
        self._device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self._model.to(self._device)
        self._picture = Image.fromarray

    def __call__(self, visible: np.ndarray, thermal: np.ndarray) -> str:
        """visible: uint8 (H, W, 3), BGR, or (H, W). thermal: uint8 (H, W)."""
        images = [self._picture(_shown(image)) for image in (visible, thermal)]
        content = [
            *({'type': 'image', 'image': image} for image in images),
            {'type': 'text', 'text': _asked()},
        ]
        inputs = self._processor.apply_chat_template(
            [{'role': 'user', 'content': content}],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors='pt',
        ).to(self._device)
        tokens = self._model.generate(**inputs, max_new_tokens=ANSWER, do_sample=False)
        answer = tokens[:, inputs['input_ids'].shape[1] :]
        return self._processor.batch_decode(answer, skip_special_tokens=True)[0].strip()


def _shown(image: np.ndarray) -> np.ndarray:
    """RGB, no larger than the model is meant to see."""
    code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    scale = min(1.0, SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, code)


def named(caption: str) -> list[Found]:
    """The faults that a caption names; none where it names nothing that is known."""
    try:
        which = faults_in(caption)
    except UserError:
        return []
    return [Found(int(number), STRENGTH) for number in np.flatnonzero(which)]
