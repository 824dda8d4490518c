from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ivr
from ivr.cli import main
from ivr.features import voice
from ivr.features.image import Encoder
from ivr.features.image_input import ImageInput
from ivr.features.mfcc import VoiceConfig
from ivr.pipeline.doctor import device_checks, machine
from ivr.pipeline.doctor import rates as rates_module
from ivr.pipeline.doctor.device_checks import (
    Workplace,
    bits_check,
    code_checks,
    interrupted,
    resumed_extraction,
    resumed_training,
    same_models,
    same_vectors,
    vector_checks,
)
from ivr.pipeline.doctor.doctor_config import DoctorConfig
from ivr.pipeline.doctor.doctor_result import DoctorResult, MachineCheck, MeasuredRate, rate_text
from ivr.pipeline.doctor.machine import machine_checks
from ivr.pipeline.doctor.rates import RateClock, measured_rates, operations
from ivr.pipeline.doctor.references import difference_check, reference_checks
from ivr.pipeline.doctor.sample_set import write_sample_set
from ivr.pipeline.runs.run_folder import MODEL, read_tensors, write_tensors
from ivr.pipeline.runtime.progress import reporting

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A set, its features and a run, all on the CPU."""
    folder = tmp_path_factory.mktemp("doctor")
    made = Workplace(folder, write_sample_set(folder / "set"), CPU)
    made.features("cpu", "cpu")
    made.run("first", "cpu")
    return made


@pytest.fixture
def without_main_job(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave out the checks that train."""
    monkeypatch.setattr("ivr.pipeline.doctor.doctor.device_checks", lambda *_: iter(()))
    yield


def outcomes(checks: Iterator[MachineCheck]) -> dict[str, str]:
    return {check.name: check.outcome for check in checks}


def test_a_cpu_passes_every_check_that_needs_no_gpu(place: Workplace, tmp_path: Path) -> None:
    found = outcomes(device_checks.device_checks(CPU, tmp_path))
    assert found == {
        "extraction, interrupted and continued": "ok",
        "training, twice with one seed": "ok",
        "training, interrupted and continued": "ok",
    }


def test_arithmetic_agrees_with_librosa_and_numpy() -> None:
    assert set(outcomes(reference_checks(CPU)).values()) == {"ok"}


def test_a_wrong_mfcc_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = voice.BACKENDS["fast"]

    def wrong(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
        return right(samples, config) * 1.001

    monkeypatch.setitem(voice.BACKENDS, "fast", wrong)
    assert outcomes(reference_checks(CPU))["MFCC, fast, beside librosa"] == "failed"


def test_vectors_of_the_same_device_agree(place: Workplace) -> None:
    cpu = ivr.open_features(place.folder / "cpu")
    assert set(outcomes(vector_checks(place, cpu)).values()) == {"ok"}


def test_wrong_vectors_of_a_device_are_found(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, images: right(self, images) + 0.01)
    other = Workplace(tmp_path, place.manifest, CPU)
    found = outcomes(vector_checks(other, ivr.open_features(place.folder / "cpu")))
    assert found["image vectors of alexnet, float32, beside the CPU"] == "failed"
    assert found["MFCC from files, beside the CPU"] == "ok"


def test_codes_and_ranks_of_the_same_device_agree(place: Workplace) -> None:
    assert set(outcomes(code_checks(place, place.folder / "first")).values()) == {"ok"}


def test_a_difference_is_measured_over_the_largest_value() -> None:
    check = difference_check("x", [np.array([100.0, 1.5])], [np.array([100.0, 1.0])], 0.01)
    assert check.outcome == "ok"
    assert check.text == "largest difference 5.0e-03 of the largest value (limit 1e-02)"


@pytest.mark.parametrize("wrong", [np.array([100.0, 3.0]), np.array([100.0, np.nan]), np.zeros(3)])
def test_larger_differences_nan_and_other_shapes_fail(wrong: np.ndarray) -> None:
    check = difference_check("x", [wrong], [np.array([100.0, 1.0])], 0.01)
    assert check.outcome == "failed"


def test_few_different_bits_pass_and_many_fail() -> None:
    codes = np.zeros((100, 8), np.uint8)
    few, many = codes.copy(), codes.copy()
    few[0, 0] = 0b1000_0000
    many[:10] = 255
    assert bits_check([few], [codes]).outcome == "ok"
    assert bits_check([few], [codes]).text == "1 of 6400 bits differ (limit 0.5 %)"
    assert bits_check([many], [codes]).outcome == "failed"


def test_other_weights_are_a_fault_on_a_cpu_and_a_note_on_a_gpu(
    place: Workplace, tmp_path: Path
) -> None:
    first = place.folder / "first"
    tensors, words = read_tensors(first / MODEL)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name] = tensors[name] + 0.5
    write_tensors(tmp_path / MODEL, tensors, words)
    assert same_models("x", first, first, CPU).outcome == "ok"
    changed = same_models("x", first, tmp_path, CPU)
    assert (changed.outcome, changed.text) == ("failed", "weights differ by up to 5.0e-01")
    assert same_models("x", first, tmp_path, torch.device("cuda")).outcome == "note"


def test_vectors_that_differ_in_the_last_bit_are_not_the_same() -> None:
    one = np.ones(3, np.float32)
    assert same_vectors("x", [(one, one.copy())]).outcome == "ok"
    assert same_vectors("x", [(one, np.nextafter(one, 2))]).outcome == "failed"


def test_an_extraction_that_is_never_interrupted_is_a_fault(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_checks, "STOP_AFTER_IMAGES", 10_000)
    found = resumed_extraction(replace(place, folder=tmp_path))
    assert (found.outcome, found.text) == ("failed", "was not interrupted after 10000 images")


def test_a_training_that_is_never_interrupted_is_a_fault(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_checks, "STOP_AFTER_EPOCHS", 10_000)
    found = resumed_training(place, place.folder / "first")
    assert (found.outcome, found.text) == ("failed", "was not interrupted after epoch 10000")


def test_an_interruption_by_the_user_ends_the_checks() -> None:
    with pytest.raises(KeyboardInterrupt), interrupted(lambda *_: None):
        raise KeyboardInterrupt


def test_the_epochs_of_a_training_are_reported_to_a_callback(place: Workplace) -> None:
    heard: list[tuple[str, int, int]] = []
    with reporting(lambda what, done, total: heard.append((what, done, total))):
        place.run("heard", "cpu")
    assert [(done, total) for what, done, total in heard if what == "epochs"] == [
        (done, device_checks.EPOCHS) for done in range(device_checks.EPOCHS + 1)
    ]


def test_a_gpu_that_torch_cannot_use_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.version, "cuda", None)
    gpu = next(check for check in machine_checks() if check.name == "GPU")
    assert gpu.outcome == "failed"
    assert "install a CUDA build of torch" in gpu.text


def test_rates_count_things_per_second(tmp_path: Path) -> None:
    calls = []
    rate = RateClock(CPU, 3).rate("x", "things/s", 10, lambda: calls.append(1))
    assert len(calls) == 4  # one call warms up
    assert rate.value > 0


def test_every_rate_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "PAIRS", 64)
    monkeypatch.setattr(rates_module, "CLIPS", 8)
    write_sample_set(tmp_path / "set")
    config = DoctorConfig(encoders=("squeezenet1_1",), images=8, rounds=1)
    rates = list(measured_rates(CPU, tmp_path, config))
    assert [rate.unit for rate in rates] == ["images/s"] * 5 + ["voices/s"] * 2 + ["pairs/s"]
    assert all(rate.value > 0 for rate in rates)


def test_operations_are_those_of_one_image() -> None:
    class Network(torch.nn.Module):
        input = ImageInput(8)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1).float() @ torch.ones(192, 10)

    assert operations(Network(), CPU) == 2 * 192 * 10  # type: ignore[arg-type]


def test_the_result_is_printed_and_written(without_main_job: None, tmp_path: Path) -> None:
    result = ivr.doctor(device="cpu", out=tmp_path / "out")
    table = (tmp_path / "out" / "doctor.md").read_text()
    assert "| ranking, numba, beside NumPy | ok |" in table
    assert repr(result).splitlines()[0].startswith("ivr ")
    assert not any(line.endswith(" ") for line in repr(result).splitlines())
    assert (tmp_path / "out" / "doctor.json").is_file()


def test_a_failed_check_is_the_exit_status(
    without_main_job: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CliRunner().invoke(main, ["doctor", "--device", "cpu"]).exit_code == 0
    monkeypatch.setattr("ivr.pipeline.doctor.references.RANK_LIMIT", -1.0)
    result = CliRunner().invoke(main, ["doctor", "--device", "cpu"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: failed: ranking, numba, beside NumPy"


def test_an_unknown_encoder_is_refused_before_anything_is_done() -> None:
    with pytest.raises(ivr.IvrError, match="nonsense"):
        ivr.doctor(encoders=("nonsense",), speed=True)


def test_rates_have_three_digits() -> None:
    assert rate_text(MeasuredRate("x", 12345.6, "images/s", "")) == "12,346 images/s"
    assert rate_text(MeasuredRate("x", 1.2345, "images/s", "")) == "1.23 images/s"


def test_a_result_without_rates_has_one_row_per_check() -> None:
    result = DoctorResult("CPU", (), (MachineCheck("a", "failed", "b"),), ())
    assert result.rows() == [{"kind": "check", "name": "a", "result": "failed", "text": "b"}]
    assert result.failed == result.checks
