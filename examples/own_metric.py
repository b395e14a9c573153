r"""A metric of one's own: a function of a Triple (thermal, visible luma, fused luma, 8 bits).

python -m multimodal_fusion evaluate --data DATA/val --models max,mmdrfuse_plus \
    --metrics SSIM,examples/own_metric.py:dark --out report
"""

from multimodal_fusion.evaluate.metrics import Triple, metric


@metric('DARK', 'Share of dark pixels', better='lower', range=(0.0, 1.0))
def dark(images: Triple) -> float:
    """Share of fused pixels below 32: lower is better for an operator at night."""
    return float((images.f.image < 32).mean())
