"""What Hugging Face's tokenizers make of odd strings: writes tokenizer.json beside this file.

    /work/venv/bin/python crates/data/tests/golden/tokenizer.py     # transformers 5.24
"""
import json, pathlib, tempfile
from transformers import BertTokenizer, CLIPTokenizer

HERE = pathlib.Path(__file__).parent
WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] a the photo of cat ##s ##ing dog cafe uber ##e un ##aff ##able 中 国 ! ? . , ' - ( ) # ##1
1 2 ##2 sea night x ##x don t e m ## ##a ##b $ ff ﬁ ß str ##asse ##ß и ##й ##i i ^ ` ~ | < > _ ね ##こ 日 本 \u0307""".split()
TEXTS = ["A photo of CATS.", "Café Über naïve", "unaffable", "中国cat日本", "don't", "  spaced\tout\nlines  ", "", "   ", "[MASK] a [SEP] b",
         "[mask]", "x" * 100, "x" * 101, "cat\u0000dog\u200bsea\ufffd", "ﬁ ff ß Straße STRASSE", "й И", "İi ı", "a-b(c)#1$2^`~|<>_", "ねこ", "🐈 cat",
         "e\u0301 \u0301", "cat\u00a0dog\u3000sea", "cats! cats? catsing", "12 1 2 22 a1", "\u2014 dash \u2026", "a photo of the cat , the dog and the sea"]
MERGES = ["a t</w>", "c at</w>", "t h", "th e</w>", "p h", "o t", "ph ot", "phot o</w>", "o f</w>", "d o", "do g</w>", "' s</w>", "Ã ©</w>", "i n", "in g</w>", "! !</w>"]


def alphabet():
    prints = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    return [chr(b) for b in prints] + [chr(256 + i) for i in range(256 - len(prints))]


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
        bert = BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True)
        tokens = alphabet() + [c + "</w>" for c in alphabet()] + [m.replace(" ", "") for m in MERGES] + ["<|startoftext|>", "<|endoftext|>"]
        (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", encoding="utf-8")
        clip = CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
        assert len(bert) == len(WORDS) and len(clip) == len(tokens), (len(bert), len(WORDS), len(clip), len(tokens))
        case = lambda text: {"text": text, "bert": bert(text)["input_ids"], "bert_cut": bert(text, truncation=True, max_length=6)["input_ids"],
                             "clip": clip(text)["input_ids"], "clip_cut": clip(text, truncation=True, max_length=6)["input_ids"]}
        golden = {"words": WORDS, "merges": MERGES, "cases": [case(t) for t in TEXTS + ["The dog's photo!!", "cat's café 42"]]}
    (HERE / "tokenizer.json").write_text(json.dumps(golden, ensure_ascii=True, indent=0) + "\n")


main()
