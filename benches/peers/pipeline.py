"""From JPEGs to a batch of training: ours beside a PyTorch DataLoader with torchvision, in one run on this machine.

    cargo build --release -p simseg-benches && python benches/peers/pipeline.py --photographs FOLDER

The photographs of the folder are resized to 500×375 and saved as JPEGs of quality 90, 4:2:0, as image-caption collections have them. Both sides then
decode each, take a RandomResizedCrop to 224 (scale 0.6 to 1, bilinear with antialiasing), ImageNet AutoAugment (fill 128), and
normalise. They draw parameters of their own, of the same distributions; that the bytes are equal where parameters are is tested in
crates/data/tests/augment.rs. Both have the same number of threads (ours) and worker processes (theirs), and take turns, so that a
busy machine slows both. Prints images/s of each turn and the ratio of the medians.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

ROOT = Path(__file__).resolve().parents[2]
BATCH = 64


class Photographs(Dataset):
    def __init__(self, folder):
        self.paths = sorted(Path(folder).glob("*.jpg"))
        self.transform = transforms.Compose([
            transforms.RandomResizedCrop(224, scale=(0.6, 1.0), antialias=True),
            transforms.AutoAugment(transforms.AutoAugmentPolicy.IMAGENET, fill=[128, 128, 128]),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def theirs(loader, images):
    start = time.perf_counter()
    total = sum(float(batch.sum()) for batch in loader)
    assert total == total
    return images / (time.perf_counter() - start)


def ours(program, folder, threads):
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
    said = subprocess.run([program, folder, "1"], env=environment, check=True, capture_output=True, text=True).stdout
    line = json.loads(said)
    return line["images"] / line["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, required=True, help="a folder of JPEGs or PNGs")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/pipeline")
    options = parser.parse_args()
    torch.manual_seed(0)
    found = sorted(path for path in options.photographs.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise SystemExit(f"{options.photographs}: no photographs in it")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.images):
            picture = Image.open(found[number % len(found)]).convert("RGB").resize((500, 375), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=90)
            Path(folder, f"{number:05}.jpg").write_bytes(out.getvalue())
        loader = DataLoader(Photographs(folder), BATCH, shuffle=True, num_workers=options.threads, persistent_workers=True)
        theirs(loader, options.images)  # workers are started before the clock is
        turns = [(ours(options.program, folder, options.threads), theirs(loader, options.images)) for _ in range(options.turns)]
    for a, b in turns:
        print(f"simseg {a:7.1f} images/s   torchvision {b:7.1f} images/s")
    a, b = (statistics.median(side) for side in zip(*turns))
    print(f"median {a:7.1f} and {b:7.1f} images/s with {options.threads} threads: {a / b:.2f}")


if __name__ == "__main__":
    main()
