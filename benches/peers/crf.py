"""DenseCRF for five classes of one photograph: ours beside pydensecrf, in one run on this machine.

    cargo build --release -p simseg-benches && python benches/peers/crf.py

Both sides take turns, so that a busy machine slows both. pydensecrf is called as the released code calls it: once per class,
two labels, 3 iterations, with the set-up it needs each time. Ours builds its lattices and solves all five together.
Prints milliseconds of both, the ratio of the medians, and how far the marginals are apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pydensecrf.densecrf as dcrf
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]


def theirs(rgb, maps):
    out = []
    for probability in maps:
        height, width = probability.shape
        crf = dcrf.DenseCRF2D(width, height, 2)
        both = np.stack([1 - probability, probability])
        crf.setUnaryEnergy(np.ascontiguousarray(-np.log(both + 1e-8).reshape(2, -1)).astype(np.float32))
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=40, srgb=13, rgbim=rgb, compat=10)
        out.append(np.array(crf.inference(3))[1].reshape(height, width))
    return np.stack(out)


def case(name, classes, folder):
    """A photograph with random maps: for us as a file, and as arrays."""
    picture = Image.fromarray(getattr(skimage.data, name)()).resize((288, 288), Image.Resampling.BILINEAR)
    rgb = np.array(picture)
    torch.manual_seed(0)
    maps = F.interpolate(torch.randn(1, classes, 18, 18), scale_factor=16, mode="nearest")[0]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    maps = ((maps - low) / (high - low)).contiguous()
    file = Path(folder) / f"{name}.safetensors"
    save_file({"rgb": torch.tensor(rgb), "maps": maps}, file)
    return file, rgb, maps.numpy()


def ours(file, threads=None):
    """Seconds of three times."""
    environment = os.environ | ({"RAYON_NUM_THREADS": str(threads)} if threads else {})
    lines = subprocess.check_output([ROOT / "target/release/crf", file, "4"], text=True, env=environment).splitlines()
    return [json.loads(line)["total"] for line in lines[1:]]  # the first one warms up


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--classes", type=int, default=5)
    options = parser.parse_args()
    print("ms per image of 288×288, %d classes" % options.classes)
    for name in ("astronaut", "chelsea", "coffee"):
        with tempfile.TemporaryDirectory() as folder:
            file, rgb, maps = case(name, options.classes, folder)
            mine, peer = [], []
            for _ in range(options.turns):
                mine += ours(file)
                for _ in range(2):
                    start = time.perf_counter()
                    expected = theirs(rgb, maps)
                    peer.append(time.perf_counter() - start)
            got = np.fromfile(f"{file}.marginals", np.float32).reshape(expected.shape)
        a, b = statistics.median(mine), statistics.median(peer)
        apart = np.abs(got - expected).max()
        same = ((got > 0.5) == (expected > 0.5)).mean()
        print(f"{name:>10}: ours {1e3 * a:6.1f}, pydensecrf {1e3 * b:6.1f}: 1/{b / a:.1f} of the time; "
              f"marginals at most {apart:.1e} apart, {100 * same:.3f}% of labels equal")


if __name__ == "__main__":
    main()
