"""ViT-B/16 inference (batch 64) and a SimSeg training step (ViT-B/16, BERT-base, LoDA, AdamW) beside PyTorch, in one run on one card.

    python benches/peers/cuda.py --device cuda:0                 # needs torch 2.11.0, complete; see docs/libtorch.md for the program
    python benches/peers/cuda.py --device cpu --small            # a minute without a card: shows that it runs, nothing else

Ours is `throughput` (benches/throughput.rs) with the libtorch of this very Python; PyTorch is the model of train.py at the same sizes, with
the same attention kernel (scaled_dot_product_attention), the fused AdamW on CUDA, TF32 off, bf16 by autocast. Both sides take turns, so that a
busy machine slows both; each turn warms up, and the clock stops when the device is done. Prints images/s of each turn and the ratio of the
medians; exit 1 if a ratio is below --least.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from train import Dual  # noqa: E402

PROGRAM = Path(__file__).resolve().parents[2] / "target/release/throughput"
FULL = dict(size=224, patch=16, width=768, depth=12, heads=12, words=30522, out=512)
SMALL = dict(size=32, patch=8, width=48, depth=2, heads=3, words=100, out=16)
POSITIONS = 25


def ours(args, work, precision, sizes):
    tower = dict(width=sizes["width"], depth=sizes["depth"], heads=sizes["heads"])
    model = dict(image=dict(image_size=sizes["size"], patch=sizes["patch"], **tower),
                 text=dict(vocabulary=sizes["words"], positions=POSITIONS, **tower), projection=sizes["out"], temperature=0.05)
    settings = dict(work=work, device=args.device, precision=precision, threads=args.threads, batch=args.batch, words=POSITIONS,
                    warm_up=args.warm_up, steps=args.steps, model=model, aligner=dict(kind="loda", image_k=5, text_k=1))
    library = os.path.join(os.path.dirname(torch.__file__), "lib")
    environment = os.environ | {"LD_LIBRARY_PATH": f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    done = subprocess.run([args.program, json.dumps(settings)], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{args.program}: {done.stderr.strip()}")
    return json.loads(done.stdout)["images_per_second"]


class Model(Dual):
    """train.py's model at other sizes; its image tower alone gives projected tokens, as `encode_image` does."""

    def __init__(self, sizes):
        super().__init__(sizes["width"], sizes["heads"], sizes["patch"], sizes["size"], sizes["depth"], sizes["depth"], sizes["words"],
                         POSITIONS, sizes["out"])

    def encode_image(self, pixels):
        x = self.patch(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        for block in self.image:
            x = block(x)
        return self.image_out(self.norm(x))

    def loss(self, pixels, ids, lengths):
        F, device = torch.nn.functional, pixels.device
        ids, lengths = ids.to(device), lengths.to(device)
        z = F.normalize(self.encode_image(pixels)[:, 1:].topk(5, 1).values.mean(1), dim=-1)
        valid = torch.arange(ids.shape[1], device=device) < lengths[:, None]
        t = self.text_norm(self.words(ids) + self.places[:, : ids.shape[1]])
        for block in self.text:
            t = block(t, valid[:, None, None, :])
        u = F.normalize(self.text_out(t).masked_fill(~valid[..., None], -1e4).max(1).values, dim=-1)
        logits = z @ u.T / self.temperature.clamp(0.001, 0.5)
        target = torch.arange(len(logits), device=device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def theirs(args, work, precision, sizes):
    torch.manual_seed(0)
    device = torch.device(args.device)
    model = Model(sizes).to(device)
    pixels = torch.randn(args.batch, 3, sizes["size"], sizes["size"], device=device)
    lengths = 5 + torch.arange(args.batch) % (POSITIONS - 4)
    ids = torch.randint(1, sizes["words"], (args.batch, POSITIONS))
    cast = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
    if work == "training":
        optimiser = torch.optim.AdamW(model.parameters(), 1e-4, (0.9, 0.98), 1e-6, 0.001, fused=True)

    def step():
        if work == "inference":
            with torch.inference_mode(), cast:
                return model.encode_image(pixels)
        with cast:
            loss = model.loss(pixels, ids, lengths)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    wait = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)
    for _ in range(args.warm_up):
        step()
    wait()
    start = time.perf_counter()
    for _ in range(args.steps):
        step()
    wait()
    return args.batch * args.steps / (time.perf_counter() - start)


def rate(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--program", default=PROGRAM, help="the program `throughput`, where it is not in target/release")
    parser.add_argument("--precision", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--least", type=float, default=0.0, help="exit 1 below this ratio; the goal on a card is 0.95")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it runs")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(args.threads)
    sizes = SMALL if args.small else FULL
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f"{args.device}: PyTorch sees no GPU here (driver? CUDA_VISIBLE_DEVICES?); --device cpu --small shows that the script runs")
    card = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else "cpu"
    print(f"{card}, PyTorch {torch.__version__}, batch {args.batch}", flush=True)
    slow = []
    for work in ("inference", "training"):
        for precision in args.precision:
            a, b = [], []
            for _ in range(args.turns):
                a.append(ours(args, work, precision, sizes))
                b.append(theirs(args, work, precision, sizes))
                if args.device.startswith("cuda"):
                    torch.cuda.empty_cache()
            ratio = statistics.median(a) / statistics.median(b)
            turns = ", ".join(f"{rate(x)}/{rate(y)}" for x, y in zip(a, b))
            print(f"{work:<9} {precision:<4} simseg {rate(statistics.median(a)):>8} images/s, PyTorch {rate(statistics.median(b)):>8}, "
                  f"ratio {ratio:.2f}   (turns: {turns})", flush=True)
            if ratio < args.least:
                slow.append(f"{work} {precision}: {ratio:.2f}")
    if slow:
        sys.exit(f"below {args.least}: {'; '.join(slow)}")


if __name__ == "__main__":
    main()
