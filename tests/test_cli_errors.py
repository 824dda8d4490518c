import pytest

from ivr.cli.errors import CALL_AGAIN, one_line


def test_an_interrupt_ends_in_one_line_and_the_status_that_says_call_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught, one_line():
        raise KeyboardInterrupt
    assert caught.value.code == CALL_AGAIN == 75
    assert capsys.readouterr().err == "stopped; nothing that was finished is lost: call again\n"
