"""Text-supervised semantic segmentation: open a model, name what to look for, get a label map.

In shapes: H × W pixels of a picture, h × w of the model's input, rows × columns of its grid of n patches; c classes, d channels.
"""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str
UNCLAIMED: int
"""The label of a pixel that no class claims, in lists without a background."""

class SimsegError(ValueError):
    """A file, a word or a picture is not what it should be; one line that says which and why."""

class Words:
    """Classes that a model has embedded."""

    @property
    def classes(self) -> list[str]:
        """The first word of each class; class 0 is the background."""
    def __len__(self) -> int: ...

class Found:
    """A class that was found in a picture."""

    @property
    def label(self) -> int:
        """Its number in the label map."""
    @property
    def name(self) -> str:
        """Its first word."""
    @property
    def score(self) -> float:
        """Its score for the whole picture."""
    @property
    def share(self) -> float:
        """Its share of the pixels, 0 to 1."""
    @property
    def map(self) -> NDArray[np.float32]:
        """Its similarity at each pixel of the model's input, [h, w]."""

class Segmented:
    """A label map, and how it came about."""

    @property
    def labels(self) -> NDArray[np.uint16]:
        """A class for each pixel, [H, W]."""
    @property
    def classes(self) -> list[str]:
        """The first word of each class."""
    @property
    def scores(self) -> NDArray[np.float32]:
        """One score for each class, [c]."""
    @property
    def threshold(self) -> float:
        """What scores were held against; NaN for rules without a threshold."""
    @property
    def found(self) -> list[Found]:
        """The classes in the picture, by falling score."""

class Selected:
    """A class that was selected for a picture, step by step from its map to its mask."""

    @property
    def label(self) -> int:
        """Its number in the label map."""
    @property
    def name(self) -> str:
        """Its first word."""
    @property
    def score(self) -> float:
        """Its score for the whole picture."""
    @property
    def raw(self) -> NDArray[np.float32] | None:
        """Cosines of patches and word at each pixel of the model's input, [h, w]; None for a segmenter that does not show them."""
    @property
    def map(self) -> NDArray[np.float32]:
        """The same after competition and stretching to 0 to 1, as the recipe has it, [h, w]."""
    @property
    def unary(self) -> NDArray[np.float32] | None:
        """Where a CRF refines: log-odds of the class against the rest, [h, w]."""
    @property
    def rounds(self) -> NDArray[np.float32] | None:
        """Where a CRF refines: the class's probability before any message and after each round of them, [1 + rounds, h, w]."""
    @property
    def mask(self) -> NDArray[np.bool_]:
        """Its mask, [h, w]."""

class Explanation:
    """Everything between a picture and its label map, from the very computation that made it. Each property makes a new array."""

    @property
    def aligner(self) -> str:
        """What training compared: "loda", "dense", "holistic", …"""
    @property
    def recipe(self) -> str:
        """Every switch of the segmentation, as TOML."""
    @property
    def classes(self) -> list[str]:
        """The first word of each class."""
    @property
    def input_size(self) -> tuple[int, int]:
        """h and w."""
    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; n = rows · columns."""
    @property
    def patches(self) -> NDArray[np.float32]:
        """The response of each channel at each patch, [n, d], not normalised, patches row by row."""
    @property
    def embedding(self) -> NDArray[np.float32]:
        """The pooled image, of norm 1, [d]."""
    @property
    def class_embeddings(self) -> NDArray[np.float32]:
        """The pooled words, each of norm 1, [c, d]; of several words for a class the one that fits the image best."""
    @property
    def shares(self) -> NDArray[np.float32] | None:
        """The share of each patch in each channel of the pooled image, [n, d]: 1/k at the k largest responses for LoDA, 1/n for dense
        alignment; None where the pooled image is no sum over patches."""
    @property
    def image_to_image(self) -> NDArray[np.float32]:
        """Cosine of each patch with the pooled image, [rows, columns]."""
    @property
    def text_to_image(self) -> NDArray[np.float32]:
        """Cosine of each patch with each class, [c, rows, columns]."""
    @property
    def scores(self) -> NDArray[np.float32]:
        """One score for each class, [c]."""
    @property
    def threshold(self) -> float | None:
        """What scores were held against; None for rules without a threshold."""
    @property
    def ledger(self) -> NDArray[np.float32] | None:
        """What each patch adds to the score of each class, [c, n]: rows add up to the scores, up to rounding. None where scores can't be
        split over patches (`why_no_ledger` says why)."""
    @property
    def why_no_ledger(self) -> str | None:
        """Why scores can't be split over patches; None where they can."""
    def contributions(self, label: int) -> NDArray[np.float32] | None:
        """What each channel of each patch adds to the score of a class, [n, d]; summed over channels it is a row of the ledger. None where
        there is no ledger. IndexError if there is no such class."""
    def terms(self, patch: int, label: int) -> dict[str, NDArray[Any]]:
        """The channels in which a patch takes part in the pooled image, the largest contribution first, as columns for a data frame:
        channel, rank (of the patch in this channel, from 1), value (its response), share, class (the class's embedding), adds. Empty where
        there is no ledger. IndexError if there is no such patch or class."""
    @property
    def selected(self) -> list[Selected]:
        """The classes that are drawn, by falling score."""
    @property
    def composed(self) -> NDArray[np.uint16]:
        """A class for each pixel of the model's input, [h, w]."""
    @property
    def labels(self) -> NDArray[np.uint16]:
        """A class for each pixel of the picture, [H, W]."""
    @property
    def iou(self) -> NDArray[np.float64] | None:
        """Intersection over union for each class, [c], NaN for a class that is in neither map; None without a truth."""
    @property
    def miou(self) -> float | None:
        """Its mean; None without a truth."""
    def json(self) -> str:
        """All of it as JSON, as `simseg explain --json` writes it."""
    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries and lists."""

class Scene:
    """A drawn scene of the small world."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """[side, side, 3]"""
    @property
    def labels(self) -> NDArray[np.uint16]:
        """The true class of each pixel, [side, side]; numbers of `scene_classes()`."""
    @property
    def caption(self) -> str:
        """What a person might write under it."""

class Model:
    """A model directory on the CPU. Its calls let other threads of Python run, and several threads can use it at once.

    Weights are read from their file as they are needed: do not write to it while the model is in use. A forked process can't compute if its parent
    did (SimsegError); start others by "spawn", and open the model there: it can't be pickled."""

    def __init__(self, path: str | PathLike[str], precision: str = "f32", *, memory_limit: int | None = None) -> None:
        """Opens a directory with config.json, model.safetensors, and vocab.txt or tokenizer.json. `precision` is f32, bf16 or int8.

        With `memory_limit`, in bytes, weights included, each call of `segment` or `explain` refuses a picture that may need more with SimsegError, before
        anything is asked for (`memory` says how much). Not part of it: the picture, embedding words, what an `Explanation` keeps, and calls
        at the same time, each of which may take as much."""
    @staticmethod
    def from_bytes(config: bytes, weights: bytes, vocabulary: bytes, *, memory_limit: int | None = None) -> Model:
        """Opens a model from the bytes of these files, with a limit as above."""
    def words(self, words: Sequence[str]) -> Words:
        """Embeds words, one class each ("cat | kitten" gives a class several); the background is put in front. They are for this model only.

        SimsegError if there is none, or one is empty, has a line break or occurs twice."""
    def memory(self, height: int, width: int, words: Words | Sequence[str]) -> dict[str, int]:
        """Bytes that segmenting a picture of this size needs at most: "weights", the same for every picture, the stages "resize", "encode" and
        "segment", which come one after the other, and "peak", the weights and the largest stage. Counted is what is asked for; the picture
        is not.

        SimsegError for a size that no picture may have."""
    def segment(self, image: NDArray[np.uint8] | Any, words: Words | Sequence[str]) -> Segmented:
        """Segments a picture: [H, W, 3] of uint8 in any layout, or a PIL image of 8 bits a channel, which is made RGB and taken as it lies
        (`PIL.ImageOps.exif_transpose` turns one as its camera was held, which the command line does by itself).

        An array whose bytes lie row by row (`image.flags.c_contiguous`) is read where it is, without a copy, while other threads run:
        none of them may change it before this returns. Other layouts are copied once.

        TypeError for another shape or type, SimsegError for a picture that is empty or too large."""
    def explain(
        self, image: NDArray[np.uint8] | Any, words: Words | Sequence[str], truth: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    ) -> Explanation:
        """Segments a picture as `segment` does, and says everything about how. `truth` is the true class of each pixel, [H, W];
        255 of uint8, as in PASCAL VOC's files, and 65535 of uint16 are not counted.

        SimsegError if `truth` has another size than the picture, TypeError if it is of another type."""

def scenes(
    count: int, seed: int = 0, first: int = 0, *, bias: float | None = None, second_object: float | None = None
) -> list[Scene]:
    """Draws scenes `first` to `first + count` of the small world of a random seed, at most 1048576.

    `bias` is the probability that an object stands in its favourite context (.8), `second_object` that there are two (.5)."""
def scene_arrays(
    count: int, seed: int = 0, first: int = 0, *, bias: float | None = None, second_object: float | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], list[str]]:
    """The same scenes as arrays: images [count, side, side, 3], labels [count, side, side] and captions."""
def scene_classes() -> list[str]:
    """The classes of the small world; 0 is the background."""
def results(folder: str | PathLike[str]) -> dict[str, NDArray[Any]]:
    """What `simseg run` found, as columns of one length, an entry for each variant and seed: `pandas.DataFrame(simseg.results(folder))`.

    `folder` is that of the experiment, such as runs/quick, with its results.json. Columns: variant, seed, status ("done", or "failed: " and
    why), each figure with the ends of its interval (miou, miou.low, miou.high), `axis:NAME` for the axes of the experiment, `iou:CLASS`
    for each class, train_images_per_second, seconds and more, where they occur. Numbers are float64 or int64, NaN where a row has none; all
    else is of dtype object. SimsegError if the file is missing or damaged."""
def training_log(folder: str | PathLike[str]) -> dict[str, NDArray[Any]]:
    """The log of a training as columns, an entry for each step: step, loss, rate, temperature, wait_seconds, and `validation.NAME` where
    something was measured (NaN elsewhere). `folder` is that of a run, such as runs/quick/loda-seed0, with its metrics.jsonl.
    The last line is left out if a kill has cut it short. SimsegError if the file is missing, or another line is none."""
