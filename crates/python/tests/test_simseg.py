"""The wheel, in an environment that has it, NumPy, pytest and Pillow: models, words, pictures, label maps."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import simseg
from conftest import ROOT, TINY
from PIL import Image

WORDS = ["fish", "cherry", "cup"]


@pytest.fixture(scope="module")
def image():
    return np.asarray(Image.open(ROOT / "fixtures/pytorch/images/coffee.png").convert("RGB"))[10:133, 20:217]


def test_what_is_found_fits_the_label_map(model, image):
    found = model.segment(image, WORDS)
    assert found.labels.dtype == np.uint16 and found.labels.shape == image.shape[:2]
    assert found.classes == ["background", *WORDS] and found.scores.shape == (4,) and found.scores.dtype == np.float32
    assert len(found.found) >= 1 and set(np.unique(found.labels)) == {0} | {each.label for each in found.found if each.share}
    for each in found.found:
        assert each.name == found.classes[each.label] and each.score == pytest.approx(found.scores[each.label])
        assert each.share == pytest.approx((found.labels == each.label).mean())
        assert each.map.dtype == np.float32 and 0 <= each.map.min() <= each.map.max() <= 1


@pytest.mark.parametrize("folder, classes", [("tiny", WORDS), ("pytorch/model", None)])
def test_labels_are_those_of_the_command_line(image, program, tmp_path, folder, classes):
    """Of the photographs among the fixtures, of drawn scenes, and of a picture that is cut out: to the bit."""
    pictures = {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in (ROOT / "fixtures/pytorch/images").glob("*.png")}
    assert len(pictures) == 3
    pictures |= {"cut": image} | {f"scene{i}": scene.image for i, scene in enumerate(simseg.scenes(3, seed=7))}
    lines = ["background", *classes] if classes else (ROOT / "fixtures/pytorch/classes.txt").read_text().split("\n")[:-1]
    (tmp_path / "classes.txt").write_text("\n".join(lines))
    for name, picture in pictures.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    files = [tmp_path / f"{name}.png" for name in pictures]
    program("segment", "--model", ROOT / "fixtures" / folder, "--classes", tmp_path / "classes.txt", "--out", tmp_path / "out", "--no-cache", *files)
    model = simseg.Model(ROOT / "fixtures" / folder)
    words = model.words(lines)
    for name, picture in pictures.items():
        labels = model.segment(picture, words).labels
        assert (np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) == labels).all(), name
    assert labels.any()


def test_layouts_and_pil_give_the_same_labels(model, image):
    words = model.words(WORDS)
    assert len(words) == 4 and words.classes[0] == "background"
    expected = model.segment(image, words).labels
    padded = np.zeros((image.shape[0], image.shape[1] + 3, 4), np.uint8)
    padded[:, 3:, :3] = image
    for other in (np.ascontiguousarray(image), np.asfortranarray(image), padded[:, 3:, :3], Image.fromarray(image), Image.fromarray(image).convert("RGBA")):
        assert (model.segment(other, words).labels == expected).all()
    flipped = model.segment(image[:, ::-1], words).labels
    assert (model.segment(np.ascontiguousarray(image[:, ::-1]), words).labels == flipped).all() and (flipped != expected).any()


def test_a_model_from_bytes_is_the_same(model, image):
    files = [(TINY / name).read_bytes() for name in ("config.json", "model.safetensors", "vocab.txt")]
    again = simseg.Model.from_bytes(*files)
    assert (again.segment(image, WORDS).labels == model.segment(image, WORDS).labels).all()


def test_precisions_open_and_others_are_refused(image):
    for precision in ("bf16", "int8"):
        assert simseg.Model(TINY, precision).segment(image, WORDS).labels.shape == image.shape[:2]
    with pytest.raises(ValueError, match="int4"):
        simseg.Model(TINY, precision="int4")


def test_a_limit_of_memory_is_kept_with_an_error(model, image):
    words = model.words(WORDS)
    needed = model.memory(*image.shape[:2], words)
    assert needed["peak"] == needed["weights"] + max(needed[stage] for stage in ("resize", "encode", "segment"))
    height, width = 20 * image.shape[0], 20 * image.shape[1]
    assert model.memory(height, width, words)["peak"] > needed["peak"]
    limited = simseg.Model(TINY, memory_limit=needed["peak"])
    assert (limited.segment(image, WORDS).labels == model.segment(image, WORDS).labels).all()
    large = np.zeros((height, width, 3), np.uint8)
    for call in (limited.segment, limited.explain):
        with pytest.raises(simseg.SimsegError, match="the memory limit is"):
            call(large, WORDS)
    with pytest.raises(simseg.SimsegError, match="the weights alone are"):
        simseg.Model(TINY, memory_limit=1)
    with pytest.raises(simseg.SimsegError):
        model.memory(0, 5, words)


@pytest.mark.parametrize("words, says", [
    ([], "at least one word"), (["background"], "at least one word"), (["cat\ndog"], "word 1"), (["cat", "dog", ""], "word 3"), (["cat", "cat"], "word 2"),
])
def test_a_word_is_one_class_or_refused(model, words, says):
    with pytest.raises(simseg.SimsegError, match=says):
        model.words(words)


def test_a_sequence_that_lies_about_its_length_does_no_harm(model):
    class Long(list):
        def __len__(self):
            return 10**12

    assert model.words(Long(["cat"])).classes == ["background", "cat"]
    with pytest.raises(TypeError, match="list of strings"):
        model.words("cat")


def test_words_of_a_model_with_other_channels_are_refused(model, image):
    other = simseg.Model(ROOT / "fixtures/pytorch/model")
    with pytest.raises(simseg.SimsegError, match="another model"):
        model.segment(image, other.words(["cat"]))


FORKED = """
import os, sys, numpy, simseg
model = simseg.Model(sys.argv[1])
image = numpy.zeros((64, 64, 3), numpy.uint8)
if sys.argv[2] == "before":
    model.segment(image, ["fish"])
child = os.fork()
if child == 0:
    try:
        model.segment(image, ["fish"])
        os._exit(0)
    except simseg.SimsegError as error:
        os._exit(7 if "forked" in str(error) else 8)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("computed, status", [("before", 7), ("not", 0)])
def test_a_fork_after_computing_is_refused_and_does_not_hang(computed, status):
    done = subprocess.run([sys.executable, "-c", FORKED, TINY, computed], check=True, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) == status


@pytest.mark.parametrize("wrong, says", [
    (np.zeros((4, 4), np.uint8), "uint8"), (np.zeros((4, 4, 3), np.float32), "float32"), (np.zeros((4, 4, 4), np.uint8), "3 channels"), (None, "PIL"), ([[0]], "list"),
    (Image.new("I;16", (4, 4)), "8 bits"), (Image.new("F", (4, 4)), "8 bits"),
])
def test_what_is_no_picture_is_refused_by_type(model, wrong, says):
    with pytest.raises(TypeError, match=says):
        model.segment(wrong, WORDS)


def test_errors_are_one_line_that_names_what_is_wrong(model):
    assert issubclass(simseg.SimsegError, ValueError)
    for call, says in [
        (lambda: simseg.Model("no such folder"), "no such folder"),
        (lambda: model.words(["fish", "fish"]), "fish"),
        (lambda: model.segment(np.zeros((0, 5, 3), np.uint8), WORDS), "0"),
        (lambda: simseg.Model.from_bytes(b"{", b"", b""), "config.json"),
    ]:
        with pytest.raises(simseg.SimsegError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="list of strings"):
        model.segment(np.zeros((4, 4, 3), np.uint8), "fish")


def test_other_threads_run_meanwhile(model, image):
    """A thread counts while a call computes: with the lock held it would get one turn when the call ends, and none before."""
    words, turns, done = model.words(WORDS), [], threading.Event()
    image = np.tile(image, (16, 16, 1))

    def during_a_call():
        start = time.perf_counter()
        model.segment(image, words)
        end = time.perf_counter()
        return sum(start < turn < end for turn in list(turns))

    def count():
        while not done.is_set():
            turns.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        # A busy machine may let it wait once, not always.
        assert any(during_a_call() >= 3 for _ in range(20))
    finally:
        done.set()
        thread.join()


def test_a_keyboard_interrupt_ends_a_long_call(model):
    names = [f"thing{i}" for i in range(20000)]
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        model.words(names)
    assert time.perf_counter() - start < 30


def test_drawn_scenes_are_arrays(model):
    first, second = simseg.scenes(2, seed=3)
    assert first.image.shape == (*first.labels.shape, 3) and first.image.dtype == np.uint8 and first.caption
    assert (simseg.scenes(1, seed=3, first=1)[0].image == second.image).all() and (first.image != second.image).any()
    assert 0 < first.labels.max() < len(simseg.scene_classes())
    found = model.segment(first.image, simseg.scene_classes())
    assert found.labels.shape == first.labels.shape


def test_mutated_inputs_raise_and_do_not_crash(model):
    """10,000 of them: files of a model with bytes changed, cut or doubled, and arrays of any kind."""
    draw = random.Random(0)
    files = [(TINY / name).read_bytes() for name in ("config.json", "model.safetensors", "vocab.txt")]
    words, opened, refused = model.words(WORDS), 0, 0
    for trial in range(10000):
        try:
            if trial % 4 == 0:
                shape = [draw.choice([0, 1, 2, 3, 5, 17]) for _ in range(draw.choice([1, 2, 3, 3, 3, 4]))]
                shape[-1] = draw.choice([3, 3, 3, 4, 1])
                array = np.full(shape, draw.randrange(256), draw.choice([np.uint8, np.uint8, np.uint8, np.float32, np.int64, bool]))
                array = array[tuple(slice(None, None, draw.choice([1, -1, 2])) for _ in shape)]
                model.segment(array, words)
                opened += 1
            else:
                which = draw.randrange(3)
                bytes_ = bytearray(files[which])
                # Most places of the weights are values; the header is where things break.
                reach = min(len(bytes_), 4000)
                for _ in range(draw.randrange(1, 4)):
                    at = draw.randrange(reach)
                    bytes_[at:at + draw.randrange(1, 9)] = draw.randbytes(draw.choice([0, 1, 1, 1, 8]))
                simseg.Model.from_bytes(*files[:which], bytes(bytes_), *files[which + 1:])
                opened += 1
        except (simseg.SimsegError, TypeError):
            refused += 1
    assert opened + refused == 10000 and opened > 500 and refused > 500
