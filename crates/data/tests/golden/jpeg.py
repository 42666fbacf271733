"""Makes jpeg/: small JPEGs of every usual kind, and beside each the pixels that Pillow (libjpeg-turbo) reads from it.

    pip install -r fixtures/pytorch/requirements.txt && python crates/data/tests/golden/jpeg.py
"""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

OUT = Path(__file__).resolve().parent / "jpeg"
KINDS = {
    "420": dict(quality=75, subsampling=2),
    "422": dict(quality=90, subsampling=1),
    "444": dict(quality=60, subsampling=0),
    "411": dict(quality=80, subsampling="4:1:1"),
    "progressive": dict(quality=85, subsampling=2, progressive=True),
    "restarts": dict(quality=70, subsampling=2, restart_marker_blocks=3),
}

OUT.mkdir(exist_ok=True)
whole = skimage.data.astronaut()
for number, (name, how) in enumerate(KINDS.items()):
    # Odd sides: the last blocks are incomplete, and spread colours meet the border.
    cut = np.ascontiguousarray(whole[20 + 30 * number:57 + 30 * number, 190:235 + number])
    Image.fromarray(cut).save(OUT / f"{name}.jpg", **how)
Image.fromarray(whole[50:83, 200:241]).convert("L").save(OUT / "grey.jpg", quality=80)
for path in sorted(OUT.glob("*.jpg")):
    Image.open(path).convert("RGB").save(path.with_suffix(".png"), optimize=True)
