"""The Python module beside the command line: the same model, words and pictures, turn by turn, and whether their label maps are equal.

    cargo build --release && cargo run --release -p simseg-benches --bin precision -- write /tmp/models && cargo xtask python
    target/python-try/bin/python benches/peers/wheel.py /tmp/models/f32 /tmp/models/classes.txt PICTURE...

Each turn starts a process of either side, which reads every picture from its file, segments it and writes its label map. Seconds for a picture
are what all pictures take beyond the first two, by the clock: starting, reading weights, embedding words and preparing weights are not part of
it. Prints both medians, their ratio and how many label maps differ.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

PYTHON = """
import sys, pathlib, simseg
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
model_folder, classes, out, threads, *pictures = sys.argv[1:]
model = simseg.Model(model_folder)
words = model.words(open(classes).read().split("\\n"))
def one(picture):
    labels = model.segment(Image.open(picture), words).labels
    Image.fromarray(labels.astype("uint8")).save(pathlib.Path(out) / (pathlib.Path(picture).stem + ".png"))
each = map if threads == "1" else ThreadPoolExecutor(int(threads)).map
list(each(one, pictures))
"""


def seconds(command):
    start = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    options = argparse.ArgumentParser()
    options.add_argument("model", type=Path)
    options.add_argument("classes", type=Path)
    options.add_argument("pictures", type=Path, nargs="+")
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--threads", type=int, default=1, help="threads of Python that share the model; a call computes on all cores in any case")
    options = options.parse_args()
    assert len(options.pictures) > 2, "three pictures or more: the first two don't count"
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "program"), Path(folder, "python")
        theirs.mkdir()
        program = [ROOT / "target/release/simseg", "segment", "--model", options.model, "--classes", options.classes, "--no-cache", "--out", ours]
        python = [sys.executable, "-c", PYTHON, options.model, options.classes, theirs, options.threads]
        times = {"command line": [], "Python": []}
        for _ in range(options.turns):
            for name, command in zip(times, (program, python)):
                few, all_of_them = (seconds([*command, *pictures]) for pictures in (options.pictures[:2], options.pictures))
                times[name].append((all_of_them - few) / (len(options.pictures) - 2))
        differ = sum(
            (np.asarray(Image.open(ours / f"{picture.stem}.png")) != np.asarray(Image.open(theirs / f"{picture.stem}.png"))).any()
            for picture in options.pictures
        )
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, each in times.items():
        print(f"{name}: {medians[name]:.3f} s a picture ({min(each):.3f} to {max(each):.3f})")
    print(f"Python over the command line: {medians['Python'] / medians['command line']:.2f}")
    print(f"label maps that differ: {differ} of {len(options.pictures)}")


main()
