"""A picture is read where it lies."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

# A photograph of 12 million pixels. Its label map takes 24 MB and is never copied; maps and masks have the size of the model's input, 64×64.
# So a call may add 24 MB, and a third of a picture for what else there is.
PICTURE, LABELS = 3 * 12_000_000, 2 * 12_000_000
BOUND = LABELS + PICTURE // 3

MEASURED = """
import sys, numpy as np, simseg

def peak():
    # Not ru_maxrss: that is the parent's where it is larger.
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

model = simseg.Model(sys.argv[1])
words = model.words(["fish", "cherry", "cup"])
image = np.empty((3000, 4000, 3), np.uint8)
image[...] = (np.arange(4000) % 251).astype(np.uint8)[None, :, None]  # every page is written, and nothing as large made beside it
image = image[:, ::-1] if sys.argv[2] == "flipped" else image
model.segment(np.ascontiguousarray(image[:64, :64]), words)
before = peak()
labels = model.segment(image, words).labels
assert labels.shape == (3000, 4000)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_a_photograph_is_not_copied_and_a_flipped_one_once():
    measured = lambda layout: int(subprocess.check_output([sys.executable, "-c", MEASURED, TINY, layout]))
    plain, flipped = measured("plain"), measured("flipped")
    assert LABELS <= plain < BOUND, f"{plain / 1e6:.1f} MB"
    assert BOUND < flipped < BOUND + PICTURE, f"{flipped / 1e6:.1f} MB"


def test_read_only_arrays_and_all_modes_of_pil_are_pictures(model):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    expected = model.segment(image, ["fish", "cup"]).labels
    image.flags.writeable = False
    assert (model.segment(image, ["fish", "cup"]).labels == expected).all()
    grey = Image.fromarray(image[..., 0])
    as_rgb = np.repeat(image[..., :1], 3, axis=2)
    assert (model.segment(grey, ["fish", "cup"]).labels == model.segment(as_rgb, ["fish", "cup"]).labels).all()
