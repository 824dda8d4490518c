from pathlib import Path

import pytest
from conftest import assert_one_line, ivr

from ivr.cli.errors import CALL_AGAIN, one_line


def test_an_interrupt_ends_in_one_line_and_the_status_that_says_call_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught, one_line():
        raise KeyboardInterrupt
    assert caught.value.code == CALL_AGAIN == 75
    assert capsys.readouterr().err == "stopped; nothing that was finished is lost: call again\n"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("trian-hash FEATURES --out run", "no command 'trian-hash'; did you mean train-hash?"),
        ("train-hash FEATURES --out run --method dvih", "no method 'dvih'; did you mean divh?"),
        ("train-hash FEATURES --out run --bits 7", "bits must be one of 8, 16"),
        (
            "extract FILE --out out --encoder vgg61",
            "no encoder 'vgg61'; did you mean vgg19 or vgg16",
        ),
        ("prepare folder --images . --out m.csv", "no layout 'folder'; did you mean folders?"),
        ("compare FEATURES --out out --preset compre", "'compre' is not one of"),
        ("check FILE --config none.yaml", "File 'none.yaml' does not exist"),
        ("check FILE --config BROKEN", "options.yaml: not YAML"),
        ("check FILE --config OTHER", "other.yaml: no option 'job'; did you mean jobs?"),
    ],
)
def test_a_call_that_cannot_be_meant_has_status_2_and_names_what_is_near(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("options.yaml").write_text("jobs: [1\n")
    Path("other.yaml").write_text("job: 1\n")
    Path("list.csv").write_text("image,voice,label\na.png,,pond\n")
    names = {"FEATURES": features, "FILE": "list.csv", "BROKEN": "options.yaml",
             "OTHER": "other.yaml"}  # fmt: skip
    result = ivr(*(names.get(word, word) for word in call.split()))
    assert_one_line(result, words, 2)
    assert " ^" not in result.stderr


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("evaluate FEATURES", "a folder of features, not a run; train on it with ivr train-hash"),
        ("evaluate none", "none: no such folder; ivr train-hash FEATURES --out none makes it"),
        ("encode .", "not a run folder; give the --out of ivr train-hash FEATURES --out RUN"),
        ("train-hash none --out out", "no such folder of features; make them with ivr extract MAN"),
        ("train-hash run --out out", "run: a run, not a folder of features"),
        ("check none.csv", "none.csv"),
    ],
)
def test_an_input_that_cannot_be_used_has_status_1_and_the_message_says_what_it_is(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    Path("run", "config.json").write_text("{}")
    result = ivr(*(features if word == "FEATURES" else word for word in call.split()))
    assert_one_line(result, words, 1)
    assert not Path("out").exists()
