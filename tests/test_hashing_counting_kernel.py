from collections.abc import Callable, Iterator

import numba
import pytest

from ivr.hashing import counting_kernel


@pytest.fixture
def fresh_kernel() -> Iterator[None]:
    counting_kernel._kernel.cache_clear()
    yield
    counting_kernel._kernel.cache_clear()


@pytest.mark.usefixtures("fresh_kernel")
def test_kernel_compiles_without_a_cache_where_no_folder_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def njit(signature: str, **options: bool) -> Callable[[object], object]:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function '_fused_counts': no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert counting_kernel._kernel() is counting_kernel._fused_counts
    assert asked == [{"nogil": True, "cache": True}, {"nogil": True}]


@pytest.mark.usefixtures("fresh_kernel")
def test_any_other_failure_to_compile_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(signature: str, **options: bool) -> Callable[[object], object]:
        if options.get("cache"):
            raise RuntimeError("out of registers")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    with pytest.raises(RuntimeError, match="out of registers"):
        counting_kernel._kernel()
