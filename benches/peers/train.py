"""The training step of experiments/alignment.toml (LoDA) in PyTorch, beside ours, in one run on this machine.

    python benches/peers/train.py            # needs torch; builds nothing: `cargo build --release` first

Both sides take turns (so that a busy machine slows both): ours through `simseg run … --set training.steps=STEPS`,
PyTorch through the modules below: the same towers, pooling, loss, optimiser, batch and caption lengths, fp32, 2 threads.
Prints images/s of each turn and the ratio of the medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

ROOT = Path(__file__).resolve().parents[2]


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, mask=None):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(y.transpose(1, 2).reshape(b, n, d))


class Block(nn.Module):
    """Pre-norm (images) or post-norm (text)."""

    def __init__(self, width, heads, pre):
        super().__init__()
        self.pre = pre
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn = Attention(width, heads)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def mlp(self, x):
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, x, mask=None):
        if self.pre:
            x = x + self.attn(self.norm1(x), mask)
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attn(x, mask))
        return self.norm2(x + self.mlp(x))


class Dual(nn.Module):
    def __init__(self, width=96, heads=3, patch=8, size=64, image_depth=3, text_depth=2, words=48, positions=25, out=64):
        super().__init__()
        n = (size // patch) ** 2
        self.patch = nn.Conv2d(3, width, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.pos = nn.Parameter(torch.randn(1, n + 1, width) * 0.02)
        self.image = nn.ModuleList(Block(width, heads, True) for _ in range(image_depth))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.randn(1, positions, width) * 0.02)
        self.text_norm = nn.LayerNorm(width, 1e-12)
        self.text = nn.ModuleList(Block(width, heads, False) for _ in range(text_depth))
        self.image_out, self.text_out = nn.Linear(width, out, bias=False), nn.Linear(width, out, bias=False)
        self.temperature = nn.Parameter(torch.tensor(0.05))

    def forward(self, pixels, ids, lengths):
        x = self.patch(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        for block in self.image:
            x = block(x)
        x = self.image_out(self.norm(x))[:, 1:]
        z = F.normalize(x.topk(3, 1).values.mean(1), dim=-1)
        valid = torch.arange(ids.shape[1]) < lengths[:, None]
        t = self.text_norm(self.words(ids) + self.places[:, : ids.shape[1]])
        for block in self.text:
            t = block(t, valid[:, None, None, :])
        t = self.text_out(t).masked_fill(~valid[..., None], -1e4)
        u = F.normalize(t.max(1).values, dim=-1)
        logits = z @ u.T / self.temperature.clamp(0.001, 0.5)
        target = torch.arange(len(logits))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def torch_rate(steps, batch):
    torch.manual_seed(0)
    model = Dual()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, (0.9, 0.98), 1e-6, 0.001, fused=True)
    data = []
    for _ in range(4):
        lengths = torch.randint(5, 14, (batch,))
        data.append((torch.randn(batch, 3, 64, 64), torch.randint(0, 48, (batch, int(lengths.max()))), lengths))
    for step in range(steps + 3):
        if step == 3:
            start = time.perf_counter()
        loss = model(*data[step % 4])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        loss.item()
    return steps * batch / (time.perf_counter() - start)


def our_rate(steps, folder, threads=2):
    out = folder / "out"
    command = [ROOT / "target/release/simseg", "run", ROOT / "experiments/alignment.toml", "--only", "loda", "--out", out, "--threads", str(threads)]
    for value in (f"training.steps={steps}", "training.schedule.warmup=1", "training.data.count=1024", "evaluation.data.count=8"):
        command += ["--set", value]
    if out.exists():
        command.append("--fresh")
    done = subprocess.run(command, capture_output=True, text=True)
    if not (out / "results.json").exists():
        sys.exit(f"simseg run: {done.stderr.strip()}")
    return json.loads((out / "results.json").read_text())["rows"][0]["train_images_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--turns", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(2)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.turns):
            ours.append(our_rate(args.steps, Path(folder)))
            theirs.append(torch_rate(args.steps, 128))
            print(f"turn {turn}: simseg {ours[-1]:.0f} images/s, PyTorch {torch.__version__} {theirs[-1]:.0f}", flush=True)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"median: simseg {statistics.median(ours):.0f}, PyTorch {statistics.median(theirs):.0f}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
