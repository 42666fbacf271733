"""What torch computes: values and gradients of every operation, in float64, written to torch.json beside this file.

    python crates/testkit/golden/make.py          # torch 2.11

The third leg of the diagnosis: two backends that agree with each other and differ from this share a wrong formula.
Inputs are multiples of 1/65536 without ties: the same numbers in f32, and more than the 10 bits of TF32 can hold. `src/golden.rs` has the same list with the same settings.
"""
import json, math, pathlib
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(0)


def numbers(shape, low=-2.0, high=2.0):
    """Evenly spaced, shuffled, rounded to 1/65536."""
    count = math.prod(shape)
    grid = low + (high - low) * (torch.arange(count) + 0.5) / count
    return (grid[torch.randperm(count, generator=generator)] * 65536).round().div(65536).reshape(shape)


def attention(heads, causal, lengths=None):
    def f(q, k, v):
        split = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)
        n, m = q.shape[1], k.shape[1]
        seen = torch.ones(len(q), 1, n, m, dtype=torch.bool)
        if causal:
            seen = seen & torch.ones(n, m, dtype=torch.bool).tril()
        if lengths:
            seen = seen & (torch.arange(m) < torch.tensor(lengths)[:, None])[:, None, None]
        return F.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=seen).transpose(1, 2).flatten(2)
    return f


def scatter_add(x, src):
    return x.scatter_add(0, torch.tensor([[1, 0], [1, 2]]), src)


def layer_norm(eps):
    return lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, eps)


ANY, POSITIVE = (-2.0, 2.0), (0.5, 2.0)
# name: (function, domain, shapes of the inputs)
LIST = {
    "sum": (lambda x: x.sum(1, keepdim=True), ANY, [3, 5, 2]),
    "mul": (lambda a, b: a * b, ANY, [3, 4], [3, 4]),
    "add": (lambda a, b: a + b, ANY, [3, 4], [3, 4]),
    "sub": (lambda a, b: a - b, ANY, [3, 4], [3, 4]),
    "div": (lambda a, b: a / b, POSITIVE, [3, 4], [3, 4]),
    "affine": (lambda x: -1.5 * x + 0.25, ANY, [3, 4]),
    "recip": (torch.reciprocal, POSITIVE, [9]),
    "sqrt": (torch.sqrt, POSITIVE, [9]),
    "exp": (torch.exp, ANY, [9]),
    "log": (torch.log, POSITIVE, [9]),
    "tanh": (torch.tanh, ANY, [9]),
    "sigmoid": (torch.sigmoid, ANY, [9]),
    "erf": (torch.erf, ANY, [9]),
    "clamp": (lambda x: x.clamp(-0.5, 0.75), ANY, [11]),
    "inside": (lambda x: ((x >= -0.5) & (x <= 0.75)).double(), ANY, [11]),
    "reshape": (lambda x: x.reshape(4, 6), ANY, [2, 3, 4]),
    "permute": (lambda x: x.permute(2, 0, 1), ANY, [2, 3, 4]),
    "expand": (lambda x: x.expand(2, 3, 4), ANY, [2, 1, 4]),
    "slice": (lambda x: x[:, 1:3], ANY, [2, 5, 2]),
    "concat": (lambda a, b: torch.cat([a, b], 1), ANY, [2, 1, 3], [2, 2, 3]),
    "matmul": (torch.matmul, ANY, [2, 3, 3], [2, 3, 3]),
    "gather": (lambda x: x.gather(1, torch.tensor([[2, 0], [2, 1], [1, 1]])), ANY, [3, 4]),
    "topk": (lambda x: x.topk(2, 1).values, ANY, [2, 5, 2]),
    "scatter_add": (scatter_add, ANY, [3, 2], [2, 2]),
    "rows": (lambda x: x[torch.tensor([3, 0, 3])], ANY, [5, 2]),
    "rows_add": (lambda x, src: x.index_add(0, torch.tensor([1, 4, 1]), src), ANY, [5, 2], [3, 2]),
    "linear": (F.linear, ANY, [2, 3, 4], [4, 4], [4]),
    "softmax": (lambda x: x.softmax(-1), ANY, [3, 5]),
    "log_softmax": (lambda x: x.log_softmax(-1), ANY, [3, 5]),
    "layer_norm": (layer_norm(0.1), ANY, [3, 6], [6], [6]),
    "layer_norm_1e-6": (layer_norm(1e-6), ANY, [3, 6], [6], [6]),
    "gelu": (F.gelu, ANY, [3, 5]),
    "attention": (attention(2, False), ANY, [2, 3, 4], [2, 5, 4], [2, 5, 4]),
    "attention_causal": (attention(1, True), ANY, [2, 4, 3], [2, 4, 3], [2, 4, 3]),
    "attention_padded": (attention(2, False, [2, 5]), ANY, [2, 3, 4], [2, 5, 4], [2, 5, 4]),
    "l2_normalize": (lambda x: F.normalize(x, dim=-1), ANY, [3, 4]),
    "l2_normalize_pooled": (lambda x: x / (x.norm(dim=-1, keepdim=True) + 1e-8), ANY, [3, 4]),
    "quick_gelu": (lambda x: x * torch.sigmoid(1.702 * x), ANY, [3, 5]),
}


def entry(name, function, domain, *shapes):
    x = [numbers(shape, *domain).requires_grad_() for shape in shapes]
    y = function(*x)
    # Plain sums where the weighing itself is on trial.
    weights = torch.ones_like(y) if name in ("sum", "mul") else numbers(tuple(y.shape))
    gradients = [torch.zeros_like(v) for v in x] if name == "inside" else torch.autograd.grad((y * weights).sum(), x)
    flat = lambda v: v.detach().flatten().tolist()
    return {"inputs": [{"shape": list(v.shape), "values": flat(v)} for v in x], "shape": list(y.shape), "values": flat(y),
            "weights": flat(weights), "gradients": [flat(g) for g in gradients]}


lines = [f"{json.dumps(name)}: {json.dumps(entry(name, *rest))}" for name, rest in LIST.items()]
pathlib.Path(__file__).with_name("torch.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
