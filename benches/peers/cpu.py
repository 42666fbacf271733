"""This CPU beside PyTorch, onnxruntime and pydensecrf, in one run on this machine: inference, training, the whole program.

    cargo xtask bench-peers                 # builds, installs what this needs into target/peers, writes benches/results/<cpu>.md
    cargo xtask bench-peers --quick         # small rows, to see that it runs

Ours is `inference` (benches/inference.rs), `crf` and `simseg` itself. PyTorch is the model of train.py at the same sizes; onnxruntime runs
its export. Sides take turns, so that a busy machine slows all; a turn warms up and takes the median of its steps, a row the
median of its turns. The class bank is 80 prompts a class: ours at the length that each has, PyTorch's padded to 25 tokens, as the released
code does. Of the whole program (rows that name a command) PyTorch does only the model's work, warm: no start, no files, no refinement.

`SIMSEG_CPU=avx2` restricts ours; with it PyTorch runs under ATEN_CPU_CAPABILITY=avx2 and MKL_ENABLE_INSTRUCTIONS=AVX2, which this script
sets for itself and which the others have no counterpart of.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if os.environ.get("SIMSEG_CPU") == "avx2" and os.environ.get("ATEN_CPU_CAPABILITY") != "avx2":
    os.environ |= {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    os.execv(sys.executable, [sys.executable, *sys.argv])  # both are read when the libraries are loaded

import torch  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import cuda  # noqa: E402
import train  # noqa: E402
import whole  # noqa: E402

TINY = dict(size=32, patch=8, width=48, depth=2, heads=3, words=3000, out=16)
VIT_S = dict(size=224, patch=16, width=384, depth=12, heads=6, words=3000, out=512)
VIT_B = dict(size=224, patch=16, width=768, depth=12, heads=12, words=30522, out=512)


def settings(args, sizes):
    tower = dict(width=sizes["width"], depth=sizes["depth"], heads=sizes["heads"])
    image = tower | dict(depth=sizes.get("depth_image", sizes["depth"]))
    model = dict(image=dict(image_size=sizes["size"], patch=sizes["patch"], **image),
                 text=dict(vocabulary=sizes["words"], positions=cuda.POSITIONS, **tower), projection=sizes["out"], temperature=0.05)
    return dict(threads=args.threads, warm_up=args.warm_up, steps=args.steps, model=model)


def ours(args, work, count, sizes, **more):
    command = [args.program, json.dumps(settings(args, sizes) | dict(work=work, count=count) | more)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{args.program}: {done.stderr.strip()}")
    return json.loads(done.stdout)["seconds"]


def timed(args, step):
    for _ in range(args.warm_up):
        step()
    seconds = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


class Image(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model.encode_image(pixels)


# Each kind of row gives what every side does in a turn, by name: a function that returns seconds.


def image(args, folder, count, sizes):
    """Pixels to projected tokens."""
    torch.manual_seed(0)
    model = Image(cuda.Model(sizes)).eval()
    pixels = torch.randn(count, 3, sizes["size"], sizes["size"])

    def step():
        with torch.inference_mode():
            model(pixels)

    turns = dict(simseg=lambda: ours(args, "image", count, sizes), PyTorch=lambda: timed(args, step))
    path = folder / "model.onnx"
    try:
        import warnings

        import onnxruntime
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (pixels,), str(path), dynamo=True, external_data=False, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        given = {session.get_inputs()[0].name: pixels.numpy()}
        turns["onnxruntime"] = lambda: timed(args, lambda: session.run(None, given))
    except Exception as error:  # a peer that is not installed, or cannot export, has no column
        print(f"onnxruntime: {type(error).__name__}: {str(error).splitlines()[0][:120]}", flush=True)
    for peer in RUST:
        if args.rust_peers.exists() and not args.quick and (peer != "rten" or path.exists()):
            turns[peer] = lambda peer=peer: in_rust(args, peer, count, sizes, path)
    return turns


def in_rust(args, peer, count, sizes, onnx):
    """A turn of rust/src/main.rs; no seconds where the peer cannot run the model."""
    given = {name: sizes[name] for name in ("width", "depth", "heads")} | dict(
        side=sizes["size"], count=count, onnx=str(onnx), warm_up=args.warm_up, steps=args.steps)
    threads = {name: str(args.threads) for name in ("RAYON_NUM_THREADS", "RTEN_NUM_THREADS")}
    done = subprocess.run([args.rust_peers, peer, json.dumps(given)], capture_output=True, text=True, env=os.environ | threads)
    if done.returncode:
        print(f"{peer}: {done.stderr.strip().splitlines()[-1][:200]}", flush=True)
        return None
    return json.loads(done.stdout)["seconds"]


def bank(args, _, classes, sizes):
    """One batch of 80 padded prompts a class; 8 tokens of 25 are real. All of it once a turn, the preparation of the weights included: it
    takes a minute, and in a program the bank is made once."""
    torch.manual_seed(0)
    model = cuda.Model(sizes).eval()
    ids = torch.randint(1, sizes["words"], (80, cuda.POSITIONS))
    valid = torch.arange(cuda.POSITIONS) < 8

    def step():
        with torch.inference_mode():
            for _ in range(classes):
                t = model.text_norm(model.words(ids) + model.places[:, :cuda.POSITIONS])
                for block in model.text:
                    t = block(t, valid[None, None, None, :])
                model.text_out(t).masked_fill(~valid[:, None], -1e4).max(1)

    once = argparse.Namespace(warm_up=0, steps=1)
    return dict(simseg=lambda: ours(args, "bank", classes, sizes, warm_up=0, steps=1), PyTorch=lambda: timed(once, step))


def training(args, _, batch, sizes):
    """Forward, backward, AdamW. A step takes seconds: one is timed."""
    theirs = argparse.Namespace(device="cpu", batch=batch, warm_up=1, steps=1)
    return dict(simseg=lambda: ours(args, "train", batch, sizes, warm_up=1, steps=1),
                PyTorch=lambda: batch / cuda.theirs(theirs, "training", "f32", sizes))


def experiment(args, folder, steps, _):
    """A step of experiments/alignment.toml (LoDA, batch 128) inside of `simseg run`: batch, loss, gradients, AdamW, log."""
    return dict(simseg=lambda: 128 / train.our_rate(steps, folder, args.threads), PyTorch=lambda: 128 / train.torch_rate(steps, 128))


def warm(args, sizes, side=288):
    """PyTorch's work for one picture of a whole program."""
    model = cuda.Model(sizes | dict(size=side)).eval()
    pixels = torch.randn(1, 3, side, side)

    def step():
        with torch.inference_mode():
            model.encode_image(pixels)

    return lambda: timed(args, step)


def segment(args, folder, pictures, sizes):
    whole.prepared(args.program, settings(args, sizes), pictures, folder)
    return dict(simseg=lambda: whole.segment(folder, pictures, args.threads) / pictures, PyTorch=warm(args, sizes))


def evaluate(args, folder, pictures, sizes):
    whole.prepared(args.program, settings(args, sizes), pictures, folder)
    return dict(simseg=lambda: whole.evaluate(folder, args.threads) / pictures, PyTorch=warm(args, sizes))


def crf(args, folder, classes, _):
    """What the CRF costs a picture; pydensecrf knows one thread."""
    import crf as case
    file, rgb, maps = case.case("astronaut", classes, folder)
    return dict(simseg=lambda: statistics.median(case.ours(file, args.threads)), pydensecrf=lambda: timed(args, lambda: case.theirs(rgb, maps)))


# Name, kind, images or classes or steps, sizes.
ROWS = [
    ("ViT-S/16 at 224, one image", image, 1, VIT_S),
    ("ViT-S/16 at 224, eight images", image, 8, VIT_S),
    ("ViT-B/16 at 224, one image", image, 1, VIT_B),
    ("ViT-B/16 at 224, eight images", image, 8, VIT_B),
    ("ViT-B/16 at 288, one image", image, 1, VIT_B | dict(size=288)),
    ("class bank of BERT-base, 21 classes of 80 prompts", bank, 21, VIT_B | dict(size=64, depth_image=1)),
    ("training step of `alignment.toml`, LoDA, batch 128", experiment, 60, None),
    ("training step, ViT-S/16 at 224 and a text tower of its size, batch 32", training, 32, VIT_S),
    ("`simseg segment`, ViT-B/16, four pictures: for each", segment, 4, VIT_B),
    ("`simseg evaluate`, ViT-B/16, eight pictures: for each", evaluate, 8, VIT_B),
    ("CRF of one picture of 288×288, five classes", crf, 5, None),
]
QUICK = [
    ("tiny, one image", image, 1, TINY),
    ("class bank, tiny", bank, 3, TINY),
    ("training step of `alignment.toml`, 2 steps", experiment, 2, None),
    ("training step, tiny", training, 4, TINY),
    ("`simseg segment`, tiny, two pictures: for each", segment, 2, TINY),
    ("`simseg evaluate`, tiny, two pictures: for each", evaluate, 2, TINY),
    ("CRF of one picture of 288×288, five classes", crf, 5, None),
]
RUST = ("candle", "rten")
PEERS = ("PyTorch", "onnxruntime", *RUST, "pydensecrf")


def figures(args, sizes, turns):
    """What has no peer, beside its goal."""
    with tempfile.TemporaryDirectory() as folder:
        whole.prepared(args.program, settings(args, sizes), 1, Path(folder))
        side = 288 // sizes["patch"] * sizes["patch"]
        start = lambda: whole.start(Path(folder), args.threads, ours(args, "image", 1, sizes | dict(size=side)))
        yield "`simseg segment`, one picture, seconds but for the encoder (warm) and the CRF", statistics.median(start() for _ in range(turns)), 0.15
        yield "its peak memory without a cached bank, over the size of the weights", whole.peak(Path(folder), args.threads), 1.4


def cpu():
    """Its name, and instructions that matter."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine(), ""
    field = lambda name: (re.search(rf"^{name}\s*: (.*)$", text, re.M) or [None, ""])[1]
    flags = [flag for flag in field("flags").split() if flag in ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile")]
    return f"{field('model name')} (family {field('cpu family')}, model {field('model')})", " ".join(flags)


def head(args):
    name, flags = cpu()
    revision = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    path = os.environ.get("SIMSEG_CPU", "the best that the CPU has")
    versions = [f"PyTorch {torch.__version__}"]
    for name_of in ("onnxruntime", "pydensecrf2"):
        try:
            versions.append(f"{name_of} {importlib.metadata.version(name_of)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    return [f"# {name}", "", f"{args.threads} threads, f32, instructions: {flags}. Kernels of simseg: {path}. {', '.join(versions)}, revision {revision}, "
            f"{datetime.date.today()}, `cargo xtask bench-peers`. Medians of {args.turns} turns: seconds, and "
            "beside theirs **our time over it**.", ""]


def row(args, name, kind, count, sizes):
    with tempfile.TemporaryDirectory() as folder:
        turns = kind(args, Path(folder), count, sizes)
        seconds = {side: [] for side in turns}
        for _ in range(args.turns):
            for side, turn in turns.items():
                seconds[side].append(turn())
    median = {side: statistics.median(values) for side, values in seconds.items() if None not in values}
    cell = lambda side: f"{median[side]:.4g} **{median['simseg'] / median[side]:.2f}**" if side in median else ""
    return f"| {name} | {median['simseg']:.4g} | {' | '.join(map(cell, PEERS))} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "target/release/inference")
    parser.add_argument("--rust-peers", type=Path, default=ROOT / "target/rust-peers/release/simseg-rust-peers")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--warm-up", type=int, default=2, help="steps before those that are timed; ours prepares its weights in the second")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name holds this, or one of these between commas; `figures` is the second table")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, help="write the tables as Markdown")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = [*head(args), f"| work | simseg | {' | '.join(PEERS)} |", "|---" * (2 + len(PEERS)) + "|"]
    print("\n".join(lines), flush=True)

    def add(line):
        lines.append(line)
        print(line, flush=True)

    for name, kind, count, sizes in QUICK if args.quick else ROWS:
        if any(part in name for part in args.only.split(",")):
            try:
                add(row(args, name, kind, count, sizes))
            except ImportError as error:  # a peer that is not installed
                print(f"{name}: {error}", flush=True)
    if not args.only or "figures" in args.only.split(","):
        lines.extend(["", "| figure | measured | goal |", "|---|---|---|"])
        for name, value, goal in figures(args, TINY if args.quick else VIT_B, args.turns):
            add(f"| {name} | {value:.3g} | at most {goal} |")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        made = args.out.with_suffix(".tmp")
        made.write_text("\n".join(lines) + "\n")
        made.replace(args.out)


if __name__ == "__main__":
    main()
