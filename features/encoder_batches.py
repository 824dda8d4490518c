"""Batches of images through an encoder: as large as fit; a GPU works while the host reads."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ivr.errors import IvrError

from .image import Encoder

USUAL = 32  # images per forward pass on a processor, and the first guess on a GPU
MOST = 256  # a larger batch is no faster on a GPU, and a lost batch costs more work
SHARE = 0.8  # largest share of a GPU's free memory for a batch


class MemoryFullError(IvrError):
    """A device whose memory is too small for one image, in one line."""


class ImageBatches:
    """Runs an encoder; a batch that is too large for the device's memory is run in halves.

    Attributes:
        encoder: the network.
        most: largest batch that is tried, in images; 0 while every batch has fitted.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Assume that every batch fits, until one does not."""
        self.encoder = encoder
        self.most = 0

    @property
    def device(self) -> torch.device:
        """The device of the encoder."""
        return next(self.encoder.buffers()).device

    def start(self, images: np.ndarray) -> Callable[[], np.ndarray]:
        """Start the forward pass of ``images`` and return a function that waits for its vectors.

        On a GPU the pass and both copies run while the host reads the next images; on a processor
        the vectors are finished when this returns.

        Args:
            images: uint8 [n, bands, side, side], n at least 1.

        Returns:
            A function that returns float32 [n, dim].

        Raises:
            MemoryFullError: the device has no room for one image.
        """
        pixels = torch.from_numpy(images)
        if self.device.type != "cuda":
            vectors = self._vectors(pixels).numpy()
            return lambda: vectors
        on_device = self._vectors(pixels.pin_memory())
        on_host = torch.empty(on_device.shape, dtype=on_device.dtype, pin_memory=True)
        on_host.copy_(on_device, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(self.device))

        def wait() -> np.ndarray:
            copied.synchronize()
            return on_host.numpy()

        return wait

    def usual_size(self) -> int:
        """Return a batch size that suits the device: on a GPU what fits, at most :data:`MOST`."""
        if self.device.type != "cuda":
            return USUAL
        images = np.zeros((USUAL, *self.encoder.input.shape), np.uint8)
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self.start(images)()
        if self.most:  # the first guess did not fit
            return self.most
        an_image = (torch.cuda.max_memory_allocated(self.device) - before) / USUAL
        return power_of_two(SHARE * free_memory(self.device) / max(an_image, 1.0))

    def _vectors(self, images: Tensor) -> Tensor:
        parts, done = [], 0
        while done < len(images):
            some = images[done : done + (self.most or len(images))]
            try:
                parts.append(self.encoder(some.to(self.device, non_blocking=True)))
            except torch.OutOfMemoryError as error:
                if len(some) == 1:
                    raise MemoryFullError(
                        f"{self.device}: no memory for one image of {self.encoder.name}; others "
                        "use the device, or --gpu-memory-fraction is too small"
                    ) from error
                self.most = len(some) // 2
            else:
                done += len(some)
                continue
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def free_memory(device: torch.device) -> float:
    """Return the bytes that this process may still allocate on the CUDA device ``device``."""
    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device)
    allowed = torch.cuda.get_per_process_memory_fraction(device) * total
    return min(free + held, allowed) - torch.cuda.memory_allocated(device)


def power_of_two(number: float) -> int:
    """Return the largest power of two up to ``number``, from 1 to :data:`MOST`."""
    return int(min(MOST, 2 ** np.floor(np.log2(max(number, 1.0)))))
