"""What timm, transformers and torch compute with small networks: writes parity.json beside this file.

    /work/venv/bin/python crates/model/tests/golden/make.py     # torch 2.11, timm 1.0.31, transformers 5.24

Everything is float64. Weights and inputs are not stored: both sides compute them from their names (`filled`).
"""
import json, pathlib
import numpy as np, timm, torch
import torch.nn.functional as F
from transformers import BertConfig, BertModel, CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

torch.set_default_dtype(torch.float64)
HERE = pathlib.Path(__file__).parent


def filled(name, shape):
    """Numbers in ±0.5 from a hash of name and position; a vector called weight is a norm's, and stays around 1."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) % 2**32
    x = (np.arange(int(np.prod(shape)), dtype=np.uint64) + seed) * np.uint64(0x9E3779B1) % 2**32
    x ^= x >> np.uint64(15)
    x = x * np.uint64(0x85EBCA77) % 2**32
    x ^= x >> np.uint64(13)
    values = x.astype(np.float64) / 2**32 - 0.5
    if len(shape) == 1 and name.endswith("weight"):
        values += 1
    return torch.from_numpy(values.reshape(shape))


def flat(x):
    return [float(v) for v in x.detach().double().flatten()]


def fill(module, prefix):
    """Loads every parameter by its own name, so that a wrong name in our layout shows as a wrong number."""
    module.load_state_dict({name: filled(prefix + name, tuple(p.shape)) for name, p in module.named_parameters()}, strict=False)
    return module.double().eval()


def vit(size):
    make = lambda size: timm.models.VisionTransformer(img_size=size, patch_size=4, embed_dim=12, depth=2, num_heads=3, num_classes=0, global_pool="")
    prefix = "image_encoder.model.model."
    model = fill(make(12), prefix)
    if size != (12, 12):  # SimSeg's own resize of the grid, not timm's antialiased one
        pos = filled(prefix + "pos_embed", (1, 10, 12))
        grid = pos[:, 1:].reshape(1, 3, 3, 12).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(size[0] // 4, size[1] // 4), mode="bicubic", align_corners=False)
        state = model.state_dict() | {"pos_embed": torch.cat([pos[:, :1], grid.flatten(2).transpose(1, 2)], 1)}
        model = make(size).double().eval()
        model.load_state_dict(state)
    return flat(model.forward_features(filled("pixels", (1 if size != (12, 12) else 2, 3, *size))))


IDS, LENGTHS = [[1, 5, 6, 3, 2], [1, 4, 2, 0, 0]], [5, 3]


def bert():
    model = BertModel(BertConfig(vocab_size=9, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, max_position_embeddings=6), add_pooling_layer=False)
    fill(model, "text_encoder.model.model.")
    mask = torch.tensor([[j < n for j in range(5)] for n in LENGTHS]).long()
    x = model(input_ids=torch.tensor(IDS), attention_mask=mask).last_hidden_state
    return flat(torch.cat([row[:n] for row, n in zip(x, LENGTHS)]))


def clip_layers(openai, hf, depth, d):
    """OpenAI's names (ours) of a stack of blocks, as Hugging Face's."""
    state = {}
    for i in range(depth):
        a, b = f"{openai}.resblocks.{i}", f"{hf}.encoder.layers.{i}"
        both = lambda ours, theirs, shape: [state.__setitem__(f"{b}.{theirs}.{kind}", filled(f"{a}.{ours}.{kind}", s)) for kind, s in (("weight", shape), ("bias", shape[:1]))]
        both("ln_1", "layer_norm1", (d,)), both("ln_2", "layer_norm2", (d,)), both("attn.out_proj", "self_attn.out_proj", (d, d))
        both("mlp.c_fc", "mlp.fc1", (4 * d, d)), both("mlp.c_proj", "mlp.fc2", (d, 4 * d))
        weight, bias = filled(f"{a}.attn.in_proj_weight", (3 * d, d)), filled(f"{a}.attn.in_proj_bias", (3 * d,))
        for j, part in enumerate("qkv"):
            state[f"{b}.self_attn.{part}_proj.weight"], state[f"{b}.self_attn.{part}_proj.bias"] = weight[j * d:(j + 1) * d], bias[j * d:(j + 1) * d]
    return state


def load(model, state):
    """By the end of the name: transformers moves modules between releases."""
    names = {name: [key for key in state if name.endswith(key)] for name, _ in model.named_parameters()}
    assert all(len(keys) == 1 for keys in names.values()) and len(names) == len(state), (names, state.keys())
    model.load_state_dict({name: state[keys[0]] for name, keys in names.items()}, strict=False)
    return model.double().eval()


def clip():
    d, e = 8, 6
    norm = lambda ours, theirs: {f"{theirs}.{kind}": filled(f"{ours}.{kind}", (d,)) for kind in ("weight", "bias")}
    common = dict(hidden_size=d, intermediate_size=4 * d, num_hidden_layers=2, num_attention_heads=2, projection_dim=e, hidden_act="quick_gelu")
    image = load(CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=8, patch_size=4, **common)),
                 clip_layers("visual.transformer", "", 2, d) | norm("visual.ln_pre", "pre_layrnorm") | norm("visual.ln_post", "post_layernorm") | {
                     "embeddings.class_embedding": filled("visual.class_embedding", (d,)), "embeddings.patch_embedding.weight": filled("visual.conv1.weight", (d, 3, 4, 4)),
                     "embeddings.position_embedding.weight": filled("visual.positional_embedding", (5, d)), "visual_projection.weight": filled("visual.proj", (d, e)).T})
    text = load(CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=9, max_position_embeddings=6, eos_token_id=8, bos_token_id=7, pad_token_id=0, **common)),
                clip_layers("transformer", "", 2, d) | norm("ln_final", "final_layer_norm") | {
                    "token_embedding.weight": filled("token_embedding.weight", (9, d)), "position_embedding.weight": filled("positional_embedding", (6, d)),
                    "text_projection.weight": filled("text_projection", (d, e)).T})
    ids = torch.tensor([[7, 5, 6, 3, 8], [7, 4, 8, 0, 0]])
    pixels = filled("pixels", (2, 3, 8, 8))
    x = image(pixel_values=pixels)
    y = text(input_ids=ids)
    words = torch.cat([row[:n] for row, n in zip(y.last_hidden_state, LENGTHS)]) @ filled("text_projection", (d, e))
    return {"image": flat(x.image_embeds), "text": flat(y.text_embeds), "words": flat(words)}


def adamw(clip_norm, weight_decay):
    p = [torch.nn.Parameter(filled(name, shape)) for name, shape in (("matrix", (3, 2)), ("vector", (4,)))]
    optimiser = torch.optim.AdamW([{"params": p[:1]}, {"params": p[1:], "weight_decay": 0.0}], lr=1.0, betas=(0.9, 0.98), eps=1e-6, weight_decay=weight_decay)
    for step in range(5):
        for i, x in enumerate(p):
            x.grad = 3 * filled(f"gradient {step} {i}", tuple(x.shape))
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(p, clip_norm)
        for group in optimiser.param_groups:
            group["lr"] = 0.01 * (step + 1)
        optimiser.step()
    return flat(torch.cat([x.flatten() for x in p]))


def nce(smoothing):
    s = filled("similarity", (5, 5)).requires_grad_()
    tau = torch.tensor(0.07, requires_grad=True)
    target = torch.arange(5)
    loss = 0.5 * (F.cross_entropy(s / tau, target, label_smoothing=smoothing) + F.cross_entropy(s.T / tau, target, label_smoothing=smoothing))
    loss.backward()
    return [loss.item(), tau.grad.item()] + flat(s.grad)


golden = {"vit": vit((12, 12)), "vit_20x28": vit((20, 28)), "vit_8x8": vit((8, 8)), "bert": bert(), "clip": clip(),
          "adamw": adamw(0, 0.1), "adamw_clipped": adamw(0.5, 0.0), "nce": nce(0.0), "nce_smooth": nce(0.1)}
(HERE / "parity.json").write_text(json.dumps(golden, indent=0).replace(",\n", ", ").replace('], "', '],\n"') + "\n")
