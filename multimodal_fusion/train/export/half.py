"""A model file in half precision: half the size, and faster on GPUs that have it."""

from pathlib import Path

import onnx

from ...io.whole_files import whole_file

# Sums over a whole image leave float16's range, and the norms of layers its precision.
PRECISE = ('ReduceL2', 'ReduceMean', 'ReduceSum', 'Pow', 'Sqrt')


def halve(path: Path) -> None:
    """Turn a float32 model file into float16, all but `PRECISE` and what goes in and comes out.

    Its metadata say so, and the card beside it.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = convert_float_to_float16(
        onnx.load(path), keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *PRECISE]
    )
    sorted_model = OnnxModel(model)  # the casts were put at the end
    sorted_model.topological_sort()
    model = sorted_model.model
    model.metadata_props.add(key='precision', value='float16')
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    card = path.with_suffix('.md')
    if card.exists():
        text = card.read_text().rstrip() + '\n\nThis file is float16, made from the float32 one.\n'
        with whole_file(card) as temporary:
            temporary.write_text(text)
