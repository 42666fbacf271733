"""What Pillow and torchvision make of noise: writes resize.json beside this file.

    /work/venv/bin/python crates/data/tests/golden/resize.py     # Pillow 13.0, torchvision 0.26; `rows_first` equals Pillow 12.3 but for the last size

Pictures come from a short generator that the test repeats; results are stored as a 64-bit FNV-1a hash and their first bytes.
"""
import json, pathlib
import numpy as np, torch
from PIL import Image
from torchvision import transforms as T

HERE = pathlib.Path(__file__).parent
SIZES = [(500, 375, 288, 288), (333, 500, 288, 288), (64, 64, 288, 288), (288, 288, 288, 100), (1, 1, 5, 7), (7, 5, 1, 1), (2, 3, 3, 2), (640, 2, 288, 288),
         (1024, 17, 100, 100), (97, 89, 97, 31), (31, 33, 64, 33), (1600, 1200, 288, 288), (19, 23, 224, 224), (512, 512, 324, 324), (3, 1000, 2, 7)]


def noise(width, height, seed):
    """Bytes 24.. of x ← 1664525·x + 1013904223 (mod 2^32), Knuth's constants."""
    out, x = bytearray(), seed
    for _ in range(width * height * 3):
        x = (1664525 * x + 1013904223) % 2**32
        v = x >> 24
        out.append(0 if v < 64 else 255 if v > 191 else v)  # many extremes: overshoot must clamp
    return Image.frombytes("RGB", (width, height), bytes(out))


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 % 2**64
    return f"{h:016x}"


def main():
    cases = []
    for seed, (w, h, to_w, to_h) in enumerate(SIZES):
        for name, how in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
            image = noise(w, h, seed)
            rows_first = image.resize((to_w, h), how).resize((to_w, to_h), how).tobytes()  # what `resize` did until version 12
            now = image.resize((to_w, to_h), how).tobytes()
            cases.append({"from": [w, h], "to": [to_w, to_h], "filter": name, "seed": seed, "rows_first": fnv(rows_first), "pillow_13": fnv(now), "head": list(rows_first[:12])})
    ramp = Image.frombytes("RGB", (256, 1), bytes(v for v in range(256) for _ in range(3)))
    tensor = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(T.ToTensor()(ramp))
    side = [[w, h, s, *T.Resize(s)(Image.new("RGB", (w, h))).size] for w, h in [(500, 333), (333, 500), (100, 100), (37, 640), (640, 37)] for s in (288, 324, 7)]
    middle = []
    for w, h, c in [(9, 8, 4), (8, 9, 5), (7, 7, 2), (5, 12, 8), (12, 5, 9), (4, 4, 4), (10, 11, 7)]:
        data = T.CenterCrop(c)(noise(w, h, 7)).tobytes()
        middle.append({"from": [w, h], "to": c, "hash": fnv(data)})
    golden = {"cases": cases, "normalised": [int(b) for b in tensor.numpy().astype(np.float32).view(np.uint32).ravel()], "shorter_side": side, "centre_crop": middle}
    (HERE / "resize.json").write_text(json.dumps(golden).replace("}, ", "},\n") + "\n")


main()
