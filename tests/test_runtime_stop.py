import os
import signal

import pytest

from ivr.pipeline.extraction.parallel_readers import LostReadersError
from ivr.pipeline.runtime.stop import SIGNALS, Stop


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_in_good_order_though_nothing_can_be_said(number: signal.Signals) -> None:
    stop = Stop(0)
    full, kept = os.open("/dev/full", os.O_WRONLY), os.dup(2)
    before = signal.signal(number, signal.SIG_DFL)
    os.dup2(full, 2)
    try:
        with stop.on_signals():
            signal.raise_signal(number)
    finally:
        os.dup2(kept, 2)
        os.close(full)
        os.close(kept)
        signal.signal(number, before)
    assert stop.signalled


@pytest.mark.parametrize("error", [KeyboardInterrupt, LostReadersError])
def test_an_interruption_ends_a_block_only_where_it_is_time_to_stop(
    error: type[BaseException],
) -> None:
    due, not_due = Stop(1e-9), Stop(0)
    with due.ending(LostReadersError):
        raise error
    assert due.acted_on
    with pytest.raises(error), not_due.ending(LostReadersError):
        raise error
    assert not not_due.acted_on
    with pytest.raises(ZeroDivisionError), due.ending(LostReadersError):
        raise ZeroDivisionError
