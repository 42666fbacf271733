"""`Model.explain`: the arrays are what the command line writes, and add up."""

import json

import numpy as np
import pytest
import simseg
from conftest import TINY
from PIL import Image


@pytest.fixture(scope="module")
def scene():
    return simseg.scenes(1, seed=5, bias=0.0)[0]


@pytest.fixture(scope="module")
def told(model, scene):
    return model.explain(scene.image, simseg.scene_classes(), scene.labels)


def test_its_json_is_that_of_the_command_line(told, scene, program, tmp_path):
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    truth = Image.fromarray(scene.labels.astype(np.uint8))
    truth.putpalette([value for value in range(256) for _ in range(3)])
    truth.save(tmp_path / "truth.png")
    (tmp_path / "classes.txt").write_text("\n".join(simseg.scene_classes()))
    program("explain", "--model", TINY, "--classes", tmp_path / "classes.txt", "--no-cache", tmp_path / "scene.png", "--truth", tmp_path / "truth.png",
            "--out", tmp_path / "page.html", "--json", tmp_path / "told.json")
    assert told.json() == (tmp_path / "told.json").read_text(encoding="utf-8")


def test_arrays_are_those_of_the_dictionary(told, scene):
    all_, (rows, columns), (height, width) = told.to_dict(), told.grid, told.input_size
    c, n, d = len(told.classes), rows * columns, told.embedding.size
    assert all_ == json.loads(told.json()) and told.aligner == all_["aligner"]["kind"] and told.recipe == all_["recipe"]
    for name, array, shape, kind in [
        ("patches", told.patches, (n, d), np.float32), ("embedding", told.embedding, (d,), np.float32), ("scores", told.scores, (c,), np.float32),
        ("image_to_image", told.image_to_image, (rows, columns), np.float32), ("text_to_image", told.text_to_image, (c, rows, columns), np.float32),
        ("composed", told.composed, (height, width), np.uint16), ("labels", told.labels, scene.labels.shape, np.uint16),
    ]:
        assert array.shape == shape and array.dtype == kind, name
        assert (array == np.asarray(all_[name], kind).reshape(shape)).all(), name
    assert (told.ledger == np.asarray(all_["ledger"]["entries"], np.float32)).all() and told.ledger.shape == (c, n) and told.why_no_ledger is None
    assert (told.class_embeddings == np.asarray([each["embedding"] for each in all_["classes"]], np.float32)).all()
    assert told.threshold == np.float32(all_["selection"]["threshold"])
    assert len(told.selected) == len(all_["found"]) >= 1
    for selected, found in zip(told.selected, all_["found"]):
        assert (selected.label, selected.name) == (found["class"], told.classes[found["class"]]) and selected.score == told.scores[selected.label]
        assert (selected.map == np.asarray(found["map"], np.float32).reshape(height, width)).all()
        assert (selected.raw == np.asarray(found["raw"], np.float32).reshape(height, width)).all()
        assert selected.mask.dtype == bool and (selected.mask == np.asarray(found["mask"], bool).reshape(height, width)).all()
        assert selected.unary is None and selected.rounds is None, "this recipe has no CRF"


def test_channels_and_patches_add_up_to_scores(told):
    assert np.allclose(told.ledger.sum(1), told.scores, atol=1e-4)
    assert np.allclose(told.shares.sum(0), 1, atol=1e-6) and ((told.shares > 0).sum(0) == told.to_dict()["aligner"]["image_k"]).all()
    pooled = (told.shares * told.patches).sum(0)
    assert np.allclose(pooled / np.linalg.norm(pooled), told.embedding, atol=1e-5)
    for label in range(len(told.classes)):
        each = told.contributions(label)
        assert np.allclose(each.sum(1), told.ledger[label], atol=1e-5)
        patch = int(told.ledger[label].argmax())
        terms = told.terms(patch, label)
        assert set(terms) == {"channel", "rank", "value", "share", "class", "adds"} and terms["channel"].dtype == np.int64
        assert (abs(terms["adds"][:-1]) >= abs(terms["adds"][1:])).all() and terms["rank"].min() >= 1
        assert np.allclose(each[patch, terms["channel"]], terms["adds"], atol=1e-6) and np.count_nonzero(each[patch]) <= len(terms["adds"])
        assert (terms["value"] == told.patches[patch, terms["channel"]]).all()


def test_it_is_the_segmentation_and_its_truth(model, told, scene):
    found = model.segment(scene.image, simseg.scene_classes())
    assert (found.labels == told.labels).all() and (found.scores == told.scores).all() and found.threshold == told.threshold
    assert [each.label for each in found.found] == [each.label for each in told.selected]
    ious = []
    for label in range(len(told.classes)):
        ours, theirs = told.labels == label, scene.labels == label
        union = (ours | theirs).sum()
        assert np.isnan(told.iou[label]) if union == 0 else told.iou[label] == pytest.approx((ours & theirs).sum() / union)
        ious += [told.iou[label]] if union else []
    assert told.miou == pytest.approx(np.mean(ious)) and 0 < told.miou < 1
    plain = model.explain(scene.image, simseg.scene_classes())
    assert plain.iou is None and plain.miou is None and (plain.labels == told.labels).all()
    bytes_ = model.explain(Image.fromarray(scene.image), model.words(simseg.scene_classes()), scene.labels.astype(np.uint8))
    assert bytes_.json() == told.json()


def test_what_does_not_fit_is_refused(model, told, scene):
    for wrong, kind, says in [
        (scene.labels[:-1], simseg.SimsegError, r"truth: \[63, 64\]; expected \[64, 64\]"), (scene.labels.astype(float), TypeError, "float64"),
        (scene.image, TypeError, "uint8 or uint16"), ("truth.png", TypeError, "no array"),
    ]:
        with pytest.raises(kind, match=says):
            model.explain(scene.image, simseg.scene_classes(), wrong)
    with pytest.raises(IndexError, match="label: expected 0 to 10, found 11"):
        told.contributions(11)
    with pytest.raises(IndexError, match="patch: expected 0 to 63, found 64"):
        told.terms(64, 0)


def test_alignment_without_a_ledger_says_why(run, scene):
    told = simseg.Model(run / "holistic-seed0/model").explain(scene.image, simseg.scene_classes())
    assert told.aligner == "holistic" and "[CLS]" in told.why_no_ledger
    assert told.ledger is None and told.shares is None and told.contributions(1) is None and len(told.terms(0, 1)["adds"]) == 0


def test_a_crf_shows_its_rounds(program, scene, tmp_path):
    """Models that see 224 pixels are used by the recipe of the released code, which has one."""
    (tmp_path / "large.toml").write_text("""
name = "large"
question = "Does a model of 224 pixels come out?"
[model]
projection = 8
temperature = 0.05
image = { image_size = 224, patch = 32, width = 12, depth = 1, heads = 2 }
text = { positions = 25, width = 12, depth = 1, heads = 2 }
[training]
data = { kind = "scenes", count = 8, image_size = 32 }
batch = 8
steps = 1
schedule = { rate = 1e-3, warmup = 1, floor = 0.1 }
[evaluation]
data = { kind = "scenes", count = 2, image_size = 32 }
[variants.loda.aligner]
kind = "loda"
image_k = 3
text_k = 1
""")
    program("run", tmp_path / "large.toml", "--out", tmp_path / "out")
    told = simseg.Model(tmp_path / "out/loda-seed0/model").explain(scene.image, simseg.scene_classes())
    assert told.input_size[0] >= 224 and told.labels.shape == scene.labels.shape and told.selected
    for selected in told.selected:
        assert selected.rounds.shape[1:] == told.input_size == selected.unary.shape and len(selected.rounds) >= 2
        assert 0 <= selected.rounds.min() <= selected.rounds.max() <= 1 and (selected.rounds[0] != selected.rounds[-1]).any()


def test_a_truth_of_bytes_is_ignored_where_it_is_255_as_in_the_files_of_voc(model):
    scene = simseg.scenes(1, seed=3)[0]
    words, truth = simseg.scene_classes(), scene.labels.copy()
    truth[:8] = 65535
    told = model.explain(scene.image, words, truth)
    bytes_of_it = np.where(truth == 65535, 255, truth).astype(np.uint8)
    assert model.explain(scene.image, words, bytes_of_it).miou == told.miou != model.explain(scene.image, words, scene.labels).miou
    nothing = model.explain(scene.image, words, np.full_like(truth, 65535)).miou
    assert nothing == 0 and not np.signbit(nothing)
    for call in (lambda: told.contributions(-1), lambda: told.terms(-1, 0), lambda: told.terms(0, len(words))):
        with pytest.raises(IndexError):
            call()
