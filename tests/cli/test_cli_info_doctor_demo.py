"""Info, doctor and the tour."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import mixmend as mm
from mixmend.cli import doctor as doctor_module

# ------------------------------------------------------------------------------ info


def test_info_describes_ratings(mixmend, ratings_file, made_ratings):
    done = mixmend("info", ratings_file, "--json")
    assert done.code == 0, done.err
    _, _, values = made_ratings
    seen = values[~np.isnan(values)]
    matrix = done.json["matrix"]
    assert (matrix["rows"], matrix["columns"], matrix["observed"]) == (60, 20, len(seen))
    assert matrix["density"] == pytest.approx(len(seen) / 1200)
    assert matrix["values"]["mean"] == pytest.approx(seen.mean())
    assert matrix["values"]["levels"] is None
    counts = (~np.isnan(values)).sum(axis=1)
    assert matrix["entries_per_row"] == {
        "min": counts.min(),
        "median": np.median(counts),
        "max": counts.max(),
        "empty": 0,
    }
    assert done.json["file"]["layout"] == "long"
    assert done.json["file"]["separator"] == "comma"

    lines = mixmend("info", ratings_file).out.splitlines()
    assert lines[0].startswith("file ")
    assert any(line.startswith("matrix") and "60 rows × 20 columns" in line for line in lines)


def test_info_names_the_levels_of_stars(mixmend, tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("user,item,rating\na,x,1\na,y,4.5\nb,x,1\n")
    done = mixmend("info", path)
    assert "levels              1, 4.5" in done.out
    assert mixmend("info", path, "--json").json["matrix"]["values"]["levels"] == [1.0, 4.5]


def test_info_describes_a_model(mixmend, model_file):
    report = mixmend("info", model_file, "--json").json
    assert report["file"]["kind"] == "gaussian-mixture"
    assert report["file"]["model"]["parameters"]["n_components"] == 2
    lines = mixmend("info", model_file).out.splitlines()
    facts = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines}
    assert facts["kind"] == "gaussian-mixture"
    assert facts["components"] == "2"
    assert facts["columns"] == "20"
    assert facts["by"] == f"mixmend {mm.__version__}"


def test_info_of_no_file_and_of_a_cut_model(mixmend, model_file, tmp_path):
    assert mixmend("info", tmp_path / "no.csv").code == 2
    cut = tmp_path / "cut.mixmend"
    cut.write_bytes(model_file.read_bytes()[:200])
    done = mixmend("info", cut)
    assert (done.code, done.out) == (2, "")
    assert str(cut) in done.err
    assert done.err.count("\n") == 1


# ------------------------------------------------------------------------------ doctor


def test_doctor_finds_this_installation_in_order(mixmend):
    done = mixmend("doctor", "--json")
    assert done.code == 0, done.out
    report = done.json
    assert report["healthy"] is True
    checks = {finding["check"]: finding for finding in report["findings"]}
    assert {"mixmend", "python", "threads", "first fit", "memory", "disk here"} <= set(checks)
    assert checks["first fit"]["status"] in ("ok", "hint")
    assert sys.version.split()[0] in checks["python"]["found"]


def test_doctor_ends_with_1_and_the_cure_when_something_is_broken(mixmend, monkeypatch):
    def broken():
        yield doctor_module.Finding("heart", doctor_module.BROKEN, "stopped", "start it again")

    monkeypatch.setattr(doctor_module, "_memory", broken)
    done = mixmend("doctor")
    assert done.code == 1
    assert "broken: heart: start it again" in done.out
    assert done.out.endswith("Something is broken.\n")


def test_a_check_that_fails_itself_is_a_finding(mixmend, monkeypatch):
    def _disk():
        raise RuntimeError("no idea")
        yield

    monkeypatch.setattr(doctor_module, "_disk", _disk)
    report = mixmend("doctor", "--json")
    assert report.code == 1
    (finding,) = [f for f in report.json["findings"] if f["status"] == "broken"]
    assert (finding["check"], finding["found"]) == ("disk", "RuntimeError: no idea")


def test_doctor_notices_kernels_that_compute_wrongly(monkeypatch):
    def wrong(self, X):
        self.means_ = np.array([[0.0], [1.0]])
        return self

    monkeypatch.setattr(mm.GaussianMixture, "fit", wrong)
    (finding,) = doctor_module._compilation()
    assert finding.status == doctor_module.BROKEN
    assert finding.found == "means 0, 1; -0.5, 5 are right"


def test_doctor_notices_packages_that_are_too_old_or_absent(monkeypatch):
    wanted = ["numpy>=99", "nosuchpackage>=1", "scipy>=1", "torch>=2; extra == 'neural'"]
    monkeypatch.setattr(doctor_module.metadata, "requires", lambda name: wanted)
    good, bad = doctor_module._requirements()
    assert good.found.startswith("scipy ")
    assert bad.status == doctor_module.BROKEN
    assert bad.found == f"numpy {np.__version__}, >=99 is needed; nosuchpackage is not installed"


def test_doctor_hints_at_little_memory_and_a_cache_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(doctor_module, "_free_memory", lambda: 1000)
    (finding,) = doctor_module._memory()
    assert (finding.status, finding.found) == (doctor_module.HINT, "1 kB free")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor_module, "tempfile", SimpleNamespace(TemporaryFile=refuse))
    (finding,) = doctor_module._cache()
    assert finding.status == doctor_module.HINT
    assert finding.cure == "set NUMBA_CACHE_DIR to a folder that you may write to"


# ------------------------------------------------------------------------------ demo


def test_the_tour_beats_the_baselines_and_leaves_files_to_look_at(mixmend, tmp_path):
    folder = tmp_path / "tour"
    done = mixmend("demo", "-o", folder, "--json")
    assert done.code == 0, done.err
    report = done.json
    assert {p.name for p in folder.iterdir()} == {
        *("ratings.csv", "completed.csv", "model.mixmend"),
        *("completion.png", "components.png", "trace.png", "calibration.png"),
    }
    assert set(report["files"]) == {str(p) for p in folder.iterdir()}
    for picture in folder.glob("*.png"):
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    rmse = {row["model"]: row["rmse"] for row in report["comparison"]}
    assert rmse["mixture"] < rmse["biases"] < rmse["column-mean"] < rmse["global-mean"]
    assert math.isclose(rmse["mixture"], report["heldout"]["rmse"])
    assert 0.85 < report["comparison"][0]["coverage"] < 0.95

    obs = mm.read_ratings(folder / "ratings.csv")
    assert obs.n_observed == report["ratings"]["observed"]
    assert mm.load(folder / "model.mixmend").n_components == report["model"]["n_components"]
    holes = sum(1 for _ in (folder / "completed.csv").open()) - 1
    assert holes == obs.shape[0] * obs.shape[1] - obs.n_observed


def test_the_tour_cannot_go_where_a_file_is(mixmend, tmp_path):
    place = tmp_path / "tour"
    place.write_text("occupied")
    done = mixmend("demo", "-o", place)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert str(place) in done.err
