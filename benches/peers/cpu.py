"""Inference on the CPU beside PyTorch and onnxruntime, in one run on this machine.

    cargo xtask bench-peers                    # builds, installs what this needs into target/peers, writes benches/results/<cpu>.md
    python benches/peers/cpu.py --quick        # two small rows, to see that it runs

Ours is `inference` (benches/inference.rs). PyTorch is the model of train.py at the same sizes in inference mode; onnxruntime runs its
export. Sides take turns, so that a busy machine slows all; a turn warms up and takes the median of its steps, a row the median of its
turns. The class bank is 80 prompts a class: ours at the length that each has, PyTorch's padded to 25 tokens, as the released code does.

`SIMSEG_CPU=avx2` restricts ours; with it PyTorch runs under ATEN_CPU_CAPABILITY=avx2 and MKL_ENABLE_INSTRUCTIONS=AVX2, which this script
sets for itself and which onnxruntime has no counterpart of.
"""

import argparse
import datetime
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
from cuda import POSITIONS, Model  # noqa: E402

TINY = dict(size=32, patch=8, width=48, depth=2, heads=3, words=3000, out=16)
VIT_S = dict(size=224, patch=16, width=384, depth=12, heads=6, words=3000, out=512)
VIT_B = dict(size=224, patch=16, width=768, depth=12, heads=12, words=30522, out=512)
# Name, work, images or classes, sizes.
ROWS = [
    ("ViT-S/16 at 224, one image", "image", 1, VIT_S),
    ("ViT-S/16 at 224, eight images", "image", 8, VIT_S),
    ("ViT-B/16 at 224, one image", "image", 1, VIT_B),
    ("ViT-B/16 at 224, eight images", "image", 8, VIT_B),
    ("ViT-B/16 at 288, one image", "image", 1, VIT_B | dict(size=288)),
    ("class bank of BERT-base, 21 classes of 80 prompts", "bank", 21, VIT_B | dict(size=64, depth_image=1)),
]
QUICK = [("tiny, one image", "image", 1, TINY), ("class bank, tiny", "bank", 3, TINY)]


def ours(args, work, count, sizes):
    tower = dict(width=sizes["width"], depth=sizes["depth"], heads=sizes["heads"])
    image = tower | dict(depth=sizes.get("depth_image", sizes["depth"]))
    model = dict(image=dict(image_size=sizes["size"], patch=sizes["patch"], **image),
                 text=dict(vocabulary=sizes["words"], positions=POSITIONS, **tower), projection=sizes["out"], temperature=0.05)
    settings = dict(work=work, threads=args.threads, count=count, warm_up=args.warm_up, steps=args.steps, model=model)
    done = subprocess.run([args.program, json.dumps(settings)], capture_output=True, text=True)
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


def bank(model, classes, sizes):
    """One batch of 80 padded prompts a class; 8 tokens of 25 are real."""
    ids = torch.randint(1, sizes["words"], (80, POSITIONS))
    valid = torch.arange(POSITIONS) < 8
    for _ in range(classes):
        t = model.text_norm(model.words(ids) + model.places[:, :POSITIONS])
        for block in model.text:
            t = block(t, valid[None, None, None, :])
        model.text_out(t).masked_fill(~valid[:, None], -1e4).max(1)


def peers(work, count, sizes, folder, threads):
    """What the others do in a step, by name."""
    torch.manual_seed(0)
    model = Model(sizes).eval()
    if work == "bank":
        def step():
            with torch.inference_mode():
                bank(model, count, sizes)
        return {"PyTorch": step}
    pixels = torch.randn(count, 3, sizes["size"], sizes["size"])

    def step():
        with torch.inference_mode():
            model.encode_image(pixels)

    steps = {"PyTorch": step}
    try:
        import warnings

        import onnxruntime
        warnings.simplefilter("ignore")
        path = str(Path(folder) / "model.onnx")
        torch.onnx.export(Image(model).eval(), (pixels,), path, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        given = {session.get_inputs()[0].name: pixels.numpy()}
        steps["onnxruntime"] = lambda: session.run(None, given)
    except Exception as error:  # a peer that is not installed, or cannot export, has no column
        print(f"onnxruntime: {type(error).__name__}: {str(error).splitlines()[0][:120]}", flush=True)
    return steps


def cpu():
    """Its name, and instructions that matter."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine(), ""
    field = lambda name: (re.search(rf"^{name}\s*: (.*)$", text, re.M) or [None, ""])[1]
    flags = [flag for flag in field("flags").split() if flag in ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile")]
    return f"{field('model name')} (family {field('cpu family')}, model {field('model')})", " ".join(flags)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "target/release/inference")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, help="write the table as Markdown")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    name, flags = cpu()
    revision = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    path = os.environ.get("SIMSEG_CPU", "the best that the CPU has")
    versions = [f"PyTorch {torch.__version__}"]
    try:
        import onnxruntime
        versions.append(f"onnxruntime {onnxruntime.__version__}")
    except ImportError:
        pass
    head = [f"# {name}", "", f"{args.threads} threads, f32, instructions: {flags}. Kernels of simseg: {path}. {', '.join(versions)}, revision {revision}, "
            f"{datetime.date.today()}. Medians of {args.turns} turns; seconds, and our time over theirs.", "",
            "| work | simseg | PyTorch | onnxruntime | ours / PyTorch | ours / onnxruntime |", "|---|---|---|---|---|---|"]
    print("\n".join(head), flush=True)
    lines = []
    for row, work, count, sizes in QUICK if args.quick else ROWS:
        if args.only not in row:
            continue
        with tempfile.TemporaryDirectory() as folder:
            steps = peers(work, count, sizes, folder, args.threads)
            seconds = {"simseg": []} | {peer: [] for peer in steps}
            for _ in range(args.turns):
                seconds["simseg"].append(ours(args, work, count, sizes))
                for peer, step in steps.items():
                    seconds[peer].append(timed(args, step))
        median = {side: statistics.median(values) for side, values in seconds.items()}
        shown = lambda side: f"{median[side]:.4g}" if side in median else ""
        ratio = lambda side: f"**{median['simseg'] / median[side]:.2f}**" if side in median else ""
        lines.append(f"| {row} | {shown('simseg')} | {shown('PyTorch')} | {shown('onnxruntime')} | {ratio('PyTorch')} | {ratio('onnxruntime')} |")
        print(lines[-1], flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        made = args.out.with_suffix(".tmp")
        made.write_text("\n".join(head + lines) + "\n")
        made.replace(args.out)


if __name__ == "__main__":
    main()
