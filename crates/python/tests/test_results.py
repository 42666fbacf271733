"""Folders of experiments and drawn scenes as columns."""

import json

import numpy as np
import pytest
import simseg


def test_columns_are_the_rows_of_the_file(run):
    table, rows = simseg.results(run), json.loads((run / "results.json").read_text())["rows"]
    assert len(rows) >= 6 and all(len(column) == len(rows) for column in table.values())
    for at, row in enumerate(rows):
        assert (table["variant"][at], table["seed"][at], table["status"][at]) == (row["variant"], row["seed"], "done")
        for name, value in row["metrics"].items():
            assert table[name][at] == value
        for name, (low, high) in row.get("intervals", {}).items():
            assert (table[f"{name}.low"][at], table[f"{name}.high"][at]) == (low, high)
        for name, value in row.get("per_class", {}).items():
            assert np.isnan(table[f"iou:{name}"][at]) if value is None else table[f"iou:{name}"][at] == value
    assert {"loda", "dense", "holistic"} < set(table["variant"]) and table["seed"].dtype == np.int64 and table["miou"].dtype == np.float64
    trained = np.isin(table["variant"], ["loda", "dense", "holistic"])
    assert trained.sum() == 6 and (table["train_images_per_second"][trained] > 0).all() and set(table["seed"][trained]) == {0, 1}


def test_a_log_has_a_line_for_each_step(run):
    log = simseg.training_log(run / "loda-seed0")
    lines = [json.loads(line) for line in (run / "loda-seed0/metrics.jsonl").read_text().splitlines()]
    assert log["step"].dtype == np.int64 and list(log["step"]) == [0, 1]
    for name in ("loss", "rate", "temperature", "wait_seconds"):
        assert list(log[name]) == [line[name] for line in lines]


def test_gaps_failures_and_axes_of_any_kind(tmp_path):
    rows = [
        {"variant": "a", "seed": 0, "axes": {"aligner.image_k": 3, "loss.kind": "info-nce", "size": 64}, "status": "done",
         "metrics": {"miou": 0.25}, "intervals": {"miou": [0.2, 0.3]}, "per_class": {"cat": None}, "seconds": 1.5},
        {"variant": "b", "seed": 1, "axes": {"aligner.image_k": "auto", "size": 96}, "status": {"failed": "out of memory"}, "metrics": {}, "seconds": 0.0},
    ]
    (tmp_path / "results.json").write_text(json.dumps({"experiment": "made", "rows": rows}))
    table = simseg.results(tmp_path)
    assert list(table["status"]) == ["done", "failed: out of memory"] and list(table["variant"]) == ["a", "b"]
    assert list(table["axis:aligner.image_k"]) == [3, "auto"] and list(table["axis:loss.kind"]) == ["info-nce", None]
    assert table["axis:size"].dtype == np.int64 and list(table["axis:size"]) == [64, 96]
    assert table["miou"][0] == 0.25 and np.isnan(table["miou"][1]) and table["miou.low"][0] == 0.2 and np.isnan(table["miou.high"][1])
    assert table["iou:cat"].dtype == np.float64 and np.isnan(table["iou:cat"]).all() and list(table["seconds"]) == [1.5, 0.0]
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "loss": 2.5}\n{"step": 1, "loss": 2.25, "validation": {"miou": 0.5}}\n{"step": 2, "lo')
    log = simseg.training_log(tmp_path)
    assert list(log["loss"]) == [2.5, 2.25] and np.isnan(log["validation.miou"][0]) and log["validation.miou"][1] == 0.5


def test_what_is_no_folder_of_an_experiment_is_refused_by_name(tmp_path):
    for read, file in [(simseg.results, "results.json"), (simseg.training_log, "metrics.jsonl")]:
        with pytest.raises(simseg.SimsegError, match=file):
            read(tmp_path)
    for text in ("{", "[]", '{"rows": 3}', '{"rows": [3]}'):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(simseg.SimsegError, match="results.json") as caught:
            simseg.results(tmp_path)
        assert "\n" not in str(caught.value)


def test_pandas_takes_both_as_they_are(run):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(simseg.results(run))
    assert table["miou"].dtype == np.float64 and len(table) == len(simseg.results(run)["miou"])
    means = table[table["variant"] == "loda"].groupby("variant")["miou"].agg(["mean", "count"])
    assert means.loc["loda", "count"] == 2 and 0 <= means.loc["loda", "mean"] <= 1
    assert list(pandas.DataFrame(simseg.training_log(run / "dense-seed1"))["step"]) == [0, 1]


def test_scene_arrays_are_the_scenes():
    images, labels, captions = simseg.scene_arrays(3, seed=3, first=2)
    scenes = simseg.scenes(3, seed=3, first=2)
    assert images.dtype == np.uint8 and labels.dtype == np.uint16
    assert (images == np.stack([scene.image for scene in scenes])).all() and (labels == np.stack([scene.labels for scene in scenes])).all()
    assert captions == [scene.caption for scene in scenes] and images.shape == (3, 64, 64, 3)
    images, labels, captions = simseg.scene_arrays(0)
    assert images.shape == (0, 64, 64, 3) and labels.shape == (0, 64, 64) and captions == []


def test_a_world_without_second_objects_has_one_class_a_scene():
    _, labels, _ = simseg.scene_arrays(20, seed=1, bias=0.0, second_object=0.0)
    assert all(len(np.unique(map)) == 2 for map in labels)
    _, usual, _ = simseg.scene_arrays(20, seed=1)
    assert any(len(np.unique(map)) == 3 for map in usual)
    with pytest.raises(simseg.SimsegError, match="bias"):
        simseg.scenes(1, bias=1.5)
    with pytest.raises(ValueError, match="1048576"):
        simseg.scene_arrays(1 << 21)
