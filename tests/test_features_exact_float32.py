"""Float32 stays exact while any thread asks for it, and is as before after the last one."""

import torch

from ivr.features.exact_float32 import exact_float32


def test_the_setting_is_restored_by_the_last_of_several_that_overlap() -> None:
    matmul = torch.backends.cuda.matmul
    usual = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        first, second = exact_float32(), exact_float32()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert matmul.fp32_precision == "ieee"
        second.__exit__(None, None, None)
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = usual
    assert torch.backends.cudnn.allow_tf32  # fails where convolutions and recurrent layers differ
