"""Weights of a network in an ONNX file as 8-bit integers, by onnxruntime."""

from pathlib import Path

from ivr.errors import first_line
from ivr.features.atomic_files import flush

from .model_folder import LONGEST_REASON, WEIGHTS, PackError


def quantised(path: Path, *, outside: bool) -> bool:
    """Store the weights of the matrices of the network ``path`` as int8, one scale per column.

    Args:
        path: an ONNX file, which is replaced; a network without matrices stays as it is.
        outside: whether the weights stand in ``PATH.data``.

    Returns:
        Whether there was a matrix.

    Raises:
        PackError: onnxruntime cannot do it.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kinds = ("MatMul", "Gemm")
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    if not any(node.op_type in kinds and weights & {*node.input[1:2]} for node in graph.node):
        return False
    made = path.with_name(f"int8-{path.name}")
    try:
        quantize_dynamic(
            str(path),
            str(made),
            op_types_to_quantize=list(kinds),
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=outside,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise PackError(
            f"{path.name}: cannot be stored as int8 ({first_line(error, LONGEST_REASON)})"
        ) from error
    path.with_name(f"{path.name}{WEIGHTS}").unlink(missing_ok=True)
    if outside:
        model = onnx.load(str(made))
        path.with_name(f"{made.name}{WEIGHTS}").unlink(missing_ok=True)
        onnx.save_model(
            model, str(path), save_as_external_data=True, location=f"{path.name}{WEIGHTS}"
        )
        made.unlink()
    else:
        made.replace(path)
    for file in (path, path.with_name(f"{path.name}{WEIGHTS}")):
        if file.exists():
            flush(file)
    return True
