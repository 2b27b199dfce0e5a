import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mri_ambient.data_prep.coils.calibration import EspiritSettings
from mri_ambient.data_prep.folder import prepare_file, prepare_folder, summary_tables
from mri_ambient.data_prep.manifest import NAME, append_to_manifest, files_hash, read_manifest
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.data_prep.readers import scan_files
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.processes import Spread, run_jobs
from mri_ambient.store import is_prepared

SETTINGS = PrepareSettings(accel=3, acs=8)


@pytest.fixture
def raw(scans, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("a", "b", "c"):
        os.link(scans / "subject_0.h5", folder / f"{name}.h5")
    return folder


def stamps(folder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.h5")}


def test_a_rerun_skips_what_is_finished_and_mends_what_is_not(raw, tmp_path):
    out = tmp_path / "out"
    assert len(prepare_folder(raw, out, SETTINGS).done) == 3
    before = stamps(out)
    again = prepare_folder(raw, out, SETTINGS)
    assert (len(again.done), len(again.skipped)) == (0, 3)
    assert stamps(out) == before
    with (out / "a.h5").open("r+b") as file:  # a bit rots
        file.seek(-100, 2)
        file.write(b"x")
    (out / "b.h5").unlink()
    mended = prepare_folder(raw, out, SETTINGS)
    assert (len(mended.done), len(mended.skipped)) == (2, 1)
    with pytest.raises(UserError, match="prepared with other settings; pass --force"):
        prepare_folder(raw, out, PrepareSettings(accel=4, acs=8))
    other = prepare_folder(raw, out, PrepareSettings(accel=4, acs=8), force=True)
    assert len(other.done) == 3
    assert {entry["accel"] for entry in read_manifest(out).values()} == {4.0}


def test_another_folders_scan_of_the_same_name_replaces_nothing(raw, scans, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    prepare_folder(raw, out, SETTINGS)
    other.mkdir()
    shutil.copy(scans / "subject_1.h5", other / "a.h5")
    os.link(scans / "subject_0.h5", other / "b.h5")  # the very same scan: finished
    before = (out / "a.h5").read_bytes()
    found = prepare_folder(other, out, SETTINGS)
    assert (len(found.done), len(found.skipped)) == (0, 1)
    assert "a.h5 was prepared from a scan of that name in another folder" in found.failed[0]
    assert (out / "a.h5").read_bytes() == before
    assert len(prepare_folder(other, out, SETTINGS, force=True).done) == 1
    assert (out / "a.h5").read_bytes() != before


def test_a_manifest_older_than_a_setting_still_counts(raw, tmp_path):
    out = tmp_path / "out"
    prepare_folder(raw, out, SETTINGS)
    lines = [json.loads(line) for line in (out / NAME).read_text().splitlines()]
    for entry in lines:
        del entry["settings"]["espirit"]
    (out / NAME).write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    assert len(prepare_folder(raw, out, SETTINGS).skipped) == 3
    with pytest.raises(UserError, match="prepared with other settings"):
        prepare_folder(raw, out, replace(SETTINGS, espirit=EspiritSettings(crop=0.9)))


def test_what_a_killed_run_left_is_removed_but_not_what_another_writes(raw, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name, age in (("old.h5.12345678.partial", 7200), ("new.h5.12345678.partial", 60)):
        (out / name).write_text("half")
        os.utime(out / name, (time.time() - age, time.time() - age))
    prepare_folder(raw, out, SETTINGS)
    assert [path.name for path in out.glob("*.partial")] == ["new.h5.12345678.partial"]


def test_the_manifest_has_the_hashes(raw, tmp_path):
    out = tmp_path / "out"
    prepare_folder(raw, out, SETTINGS)
    for name, entry in read_manifest(out).items():
        assert entry["prepared_sha256"] == files_hash([out / name])
        assert entry["source_sha256"] == files_hash([raw / entry["source"]])


def test_a_torn_line_of_the_manifest_is_passed_over(tmp_path):
    append_to_manifest(tmp_path, {"prepared": "a.h5", "n": 1})
    with (tmp_path / NAME).open("a") as file:
        file.write('{"prepared": "b.h5", "n"')
    append_to_manifest(tmp_path, {"prepared": "c.h5", "n": 2})
    append_to_manifest(tmp_path, {"prepared": "a.h5", "n": 3})
    assert read_manifest(tmp_path) == {"a.h5": {"prepared": "a.h5", "n": 3}, "c.h5": {"prepared": "c.h5", "n": 2}}


def test_a_bad_file_amid_good_ones_is_reported_and_the_rest_go_on(raw, tmp_path):
    (raw / "aa_bad.h5").write_text("no")
    (raw / "notes.txt").write_text("not a scan")
    with h5py.File(raw / "a_recon.h5", "w") as file:
        file.attrs["format"] = "mri-ambient reconstruction 1"
    shutil.copy(raw / "a.h5", raw / "no_name_of_a_scan.dat")
    summary = prepare_folder(raw, tmp_path / "out", SETTINGS)
    assert (len(summary.done), len(summary.failed), summary.ignored) == (4, 1, 2)
    assert "aa_bad.h5" in summary.failed[0]
    assert not (tmp_path / "out" / "aa_bad.h5").exists()
    assert [table.row_count for table in summary_tables(summary)] == [1, 1, 1]  # volumes, remarks, failures


def test_differing_matrices_and_coils_in_one_folder(raw, tmp_path):
    with h5py.File(raw / "small.h5", "w") as file, h5py.File(raw / "a.h5") as big:
        file["kspace"] = big["kspace"][:, :3, 8:40, 12:36]
    summary = prepare_folder(raw, tmp_path / "out", PrepareSettings(acs=8))
    assert len(summary.done) == 4
    assert [table.row_count for table in summary_tables(summary)] == [2, 1]


def test_two_scans_of_one_name_are_not_written_over_each_other(raw, tmp_path):
    np.save(raw / "a.npy", np.ones((1, 1, 16, 16), np.complex64))
    summary = prepare_folder(raw, tmp_path / "out", SETTINGS)
    assert len(summary.done) == 3
    assert "would become a.h5" in summary.failed[0]


def test_nothing_to_do_or_nowhere_to_put_it(raw, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        prepare_folder(tmp_path / "absent", tmp_path / "out", SETTINGS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no scan"):
        prepare_folder(tmp_path / "empty", tmp_path / "out", SETTINGS)
    before = stamps(raw)
    with pytest.raises(UserError, match="is the folder of the raw scans"):
        prepare_folder(raw, raw, SETTINGS)
    assert stamps(raw) == before
    assert len(scan_files(raw)[0]) == 3


def test_nobodys_name_is_copied(scans, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(scans / "subject_0.h5", raw / "a.h5")
    secrets = ["Erika Mustermann", "19640812", "St. Elsewhere"]
    with h5py.File(raw / "a.h5", "r+") as file:
        header = file["ismrmrd_header"][()].decode()
        private = "<subjectInformation><name>{}</name><birthdate>{}</birthdate></subjectInformation>"
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = header.replace("<encoding>", private.format(*secrets[:2]) + "<encoding>", 1).encode()
        file.attrs["institution"] = secrets[2]
    prepare_folder(raw, tmp_path / "out", SETTINGS)
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert not [secret for secret in secrets if secret.encode() in written]


PREP = "import sys; from mri_ambient.cli import app; app(sys.argv[1:])"


def prep_process(raw, out, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PREP, "prep", str(raw), "--out", str(out), "--accel", "3", "--acs", "8", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def alive(needle: str) -> list[int]:
    """Processes of which the environment holds ``needle``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if needle.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.slow
def test_kill_at_any_time_and_resume(scans, tmp_path, monkeypatch):
    """kill -9 of the command alone: its workers end too, nothing half written keeps a volume's name, a rerun completes."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc to look for orphans")
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for index in range(30):
        os.link(scans / "subject_0.h5", raw / f"s{index:02}.h5")
    monkeypatch.setenv("MRI_AMBIENT_TEST_MARK", str(tmp_path))
    finished = []
    for _ in range(2):
        process = prep_process(raw, out, "--workers", "2")
        wanted = len(list(out.glob("*.h5"))) + 3
        deadline = time.monotonic() + 120
        while len(list(out.glob("*.h5"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 20
        while [pid for pid in alive(str(tmp_path)) if pid != os.getpid()] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [pid for pid in alive(str(tmp_path)) if pid != os.getpid()] == []
        assert all(is_prepared(path) for path in out.glob("*.h5"))
        finished.append(len(read_manifest(out)))
    assert 0 < finished[0] < finished[1] < 30
    summary = prepare_folder(raw, out, SETTINGS, Spread(2))
    assert len(summary.skipped) >= finished[1] - 1
    assert len(summary.done) + len(summary.skipped) == 30


@pytest.mark.slow
def test_two_at_once_on_one_folder(raw, tmp_path):
    out = tmp_path / "out"
    both = [prep_process(raw, out) for _ in range(2)]
    assert [process.wait(timeout=180) for process in both] == [0, 0]
    assert sorted(path.name for path in out.iterdir()) == ["a.h5", "b.h5", "c.h5", NAME]
    assert len(prepare_folder(raw, out, SETTINGS).skipped) == 3


def _work(name: str) -> str:
    if name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return name.upper()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_dying_worker_costs_its_own_job_alone(workers):
    jobs = [(name,) for name in ("one", "two", "deadly", "three", "four", "five")]
    found, errors = [], []

    def collect(job, result) -> None:
        try:
            found.append(result())
        except UserError as error:
            errors.append(str(error))

    run_jobs(_work, jobs, Spread(workers), "working", collect)
    assert sorted(found) == ["FIVE", "FOUR", "ONE", "THREE", "TWO"]
    assert len(errors) == 1
    assert "deadly: the process at work on it died" in errors[0]


@pytest.mark.slow
def test_dask(raw, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    (raw / "d.h5").write_text("no")
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster:
        summary = prepare_folder(raw, tmp_path / "out", SETTINGS, Spread(dask=cluster.scheduler_address))
    assert (len(summary.done), len(summary.failed)) == (3, 1)
    with pytest.raises(UserError, match="no Dask scheduler answers"):
        prepare_folder(raw, tmp_path / "out", SETTINGS, Spread(dask="tcp://127.0.0.1:1"))


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(raw, small_disk):
    summary = prepare_folder(raw, small_disk / "out", SETTINGS)
    assert len(summary.failed) == 3
    assert "the disk is full" in summary.failed[0]
    assert list((small_disk / "out").glob("*.h5*")) == []


def test_no_half_file_under_the_final_name(tmp_path):
    target = tmp_path / "file.h5"
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_may_not_be_read(raw, tmp_path, monkeypatch):
    def refused(paths) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mri_ambient.data_prep.folder.files_hash", refused)
    with pytest.raises(UserError, match=r"a.h5: can't be read \(Permission denied\)"):
        prepare_file(raw / "a.h5", tmp_path / "a.h5", SETTINGS)


def test_a_defect_met_by_one_scan_leaves_the_others(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "mri_ambient.data_prep.folder.run_jobs", lambda function, jobs, *_: [_[-1](job, lambda: 1 / 0) for job in jobs]
    )
    summary = prepare_folder(raw, tmp_path / "out", SETTINGS)
    assert len(summary.failed) == 3
    assert "unexpected ZeroDivisionError" in summary.failed[0]


def test_prepare_file_says_whether_it_had_to(raw, tmp_path):
    entry, made = prepare_file(raw / "a.h5", tmp_path / "a.h5", SETTINGS)
    again, made_again = prepare_file(raw / "a.h5", tmp_path / "a.h5", SETTINGS)
    assert (made, made_again) == (True, False)
    assert entry == again
    assert json.loads(json.dumps(entry)) == entry
