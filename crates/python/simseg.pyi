"""Text-supervised semantic segmentation: open a model, name what to look for, get a label map."""

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
        """Its similarity at each pixel of the model's input, [height, width]."""

class Segmented:
    """A label map, and how it came about."""

    @property
    def labels(self) -> NDArray[np.uint16]:
        """A class for each pixel, [height, width], at the picture's own size."""
    @property
    def classes(self) -> list[str]:
        """The first word of each class."""
    @property
    def scores(self) -> NDArray[np.float32]:
        """One score for each class, [classes]."""
    @property
    def threshold(self) -> float:
        """What scores were held against; NaN for rules without a threshold."""
    @property
    def found(self) -> list[Found]:
        """The classes in the picture, by falling score."""

class Scene:
    """A drawn scene of the small world."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """[side, side, 3]"""
    @property
    def labels(self) -> NDArray[np.uint16]:
        """The true class of each pixel, [side, side]; numbers of `scene_classes()`."""
    @property
    def caption(self) -> str: ...

class Model:
    """A model directory on the CPU."""

    def __init__(self, path: str | PathLike[str], precision: str = "f32") -> None:
        """Opens a directory with config.json, model.safetensors, and vocab.txt or tokenizer.json. `precision` is f32, bf16 or int8."""
    @staticmethod
    def from_bytes(config: bytes, weights: bytes, vocabulary: bytes) -> Model:
        """Opens a model from the bytes of these files."""
    def words(self, words: Sequence[str]) -> Words:
        """Embeds words, one class each ("cat | kitten" gives a class several); the background is put in front."""
    def segment(self, image: NDArray[np.uint8] | Any, words: Words | Sequence[str]) -> Segmented:
        """Segments a picture: [height, width, 3] of uint8 in any layout, or a PIL image. Other threads of Python run meanwhile."""

def scenes(count: int, seed: int = 0, first: int = 0) -> list[Scene]:
    """Draws scenes `first` to `first + count` of the small world of a random seed."""
def scene_classes() -> list[str]:
    """The classes of the small world; 0 is the background."""
