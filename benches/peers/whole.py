"""The program `simseg` as a user starts it, from process start to exit, on pictures of 640×480 and models of random weights; for cpu.py."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIMSEG = Path(__file__).resolve().parents[2] / "target/release/simseg"
CLASSES = 21
# The class bank is in the cache: how many prompts made it does not matter then.
CACHED = ["--recipe", "official-code", "--set", "prompts.templates=single", "--cache", "cache"]


def checked(command, folder):
    """Runs it; its seconds."""
    start = time.perf_counter()
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return seconds


def prepared(inference, settings, pictures, folder):
    """A model, class file, pictures with label maps, and a warm cache."""
    checked([inference, json.dumps(settings | dict(work="write", count=CLASSES, folder=str(folder / "model")))], folder)
    (folder / "classes.txt").write_text("\n".join(["background", *(f"thing{i}" for i in range(1, CLASSES))]) + "\n")
    random = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for i in range(pictures):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"images/{i:03}.png")
        Image.fromarray(random.integers(0, CLASSES, (12, 16), np.uint8)).resize((640, 480), Image.Resampling.NEAREST).save(folder / f"labels/{i:03}.png")
    segment(folder, 1, 0)


def segment(folder, pictures, threads, options=CACHED, before=()):
    """Seconds of `simseg segment` for so many pictures."""
    images = sorted((folder / "images").iterdir())[:pictures]
    command = [*before, SIMSEG, "segment", "--threads", threads, *options, "--model", "model", "--classes", "classes.txt",
               "--timings", "timings.json", "--out", "out", *images]
    return checked(command, folder)


def evaluate(folder, threads):
    """Seconds of `simseg evaluate` for all pictures."""
    return checked([SIMSEG, "evaluate", "--threads", threads, *CACHED, "--model", "model", "--dataset", "folder", "--root", folder,
                    "--classes", "classes.txt", "--out", "result.json"], folder)


def start(folder, threads, encoder):
    """Seconds of the program for one picture that are neither the encoder's (as it takes when warm) nor the refinement's."""
    whole = segment(folder, 1, threads)
    return whole - encoder - json.loads((folder / "timings.json").read_text())["refine"]


def peak(folder, threads):
    """Peak memory of the program for one picture, 80 prompts a class and no cache, over the size of the weights."""
    (folder / "classes.txt").write_text("\n".join(["background", *(f"thing{i}" for i in range(1, 9))]) + "\n")
    # The largest of all children counts, so in a process that has only this one.
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
              "open('peak', 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))")
    segment(folder, 1, threads, ["--recipe", "official-code", "--no-cache"], [sys.executable, "-c", script])
    return 1024 * int((folder / "peak").read_text()) / (folder / "model/model.safetensors").stat().st_size
