"""Images and their voices as tensors: what methods learn from, in memory or mapped from a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ivr.errors import IvrError

CHUNK = 256
# Bytes of image vectors that are read at once for their statistics, where they lie in a file.
STATISTICS_BYTES = 1 << 30

Pool = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class PairsError(IvrError):
    """Images and voices that do not belong together, in one line."""


@dataclass(frozen=True)
class Pairs:
    """Images and their voices, as tensors.

    Attributes:
        images: [n, image_dim] CNN vectors; with ``image_rows`` all vectors of a mapped file, read
            when they are asked for.
        labels: [n] class numbers of the images.
        voices: [m, streams, coefficients, frames] MFCC streams; with ``voice_rows`` all voices of a
            mapped file, read when they are asked for.
        frames: [m] true number of frames of each voice.
        voice_image: [m] row of the image that each voice describes, ascending, -1 for a voice whose
            image is not there.
        voice_rows: [m] row of each voice in ``voices``; None where they lie row for row.
        stored_frames: [m] frames as they are stored, where voices and ``frames`` are pooled
            (:meth:`pooled_by`); None where they are not.
        image_rows: [n] row of each image in ``images``; None where they lie row for row.
        voice_labels: [m] class numbers of the voices, where some images have no voice or some
            voices no image; None where every voice has the class of its image, and every image a
            voice.
    """

    images: Tensor
    labels: Tensor
    voices: Tensor
    frames: Tensor
    voice_image: Tensor
    voice_rows: Tensor | None = None
    stored_frames: Tensor | None = None
    image_rows: Tensor | None = None
    voice_labels: Tensor | None = None

    def __post_init__(self) -> None:
        """Check that rows belong together."""
        if bool((self.voice_image.diff() < 0).any()):
            raise PairsError("voice_image must ascend")
        if self.voice_labels is not None:
            return
        counts = torch.bincount(self.voice_image.cpu(), minlength=len(self.labels))
        if len(counts) != len(self.labels) or bool((counts == 0).any()):
            raise PairsError("every image needs at least one voice to make a pair")

    @property
    def pooled(self) -> bool:
        """Whether voices are as the method takes them."""
        return self.stored_frames is not None

    def labels_of_voices(self) -> Tensor:
        """Return the class number [m] of each voice."""
        return self.labels[self.voice_image] if self.voice_labels is None else self.voice_labels

    def images_of(self, rows: Tensor) -> Tensor:
        """Return the vectors [b, image_dim] of the images ``rows`` [b], float32, where they lie."""
        places = rows if self.image_rows is None else self.image_rows[rows.to("cpu")]
        return self.images[places.to(self.images.device)].float()

    def image_statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and deviation [image_dim] over all images.

        Of vectors in a file, only some columns are in memory at once; the result is the same.
        """
        if self.image_rows is None:
            return self.images.mean(0), self.images.std(0, correction=0)
        step = max(64, STATISTICS_BYTES // (4 * len(self.labels)) // 64 * 64)
        found = []
        for start in range(0, self.images.shape[1], step):
            some = self.images[:, start : start + step][self.image_rows].float()
            found.append((some.mean(0), some.std(0, correction=0)))
        return torch.cat([mean for mean, _ in found]), torch.cat([each for _, each in found])

    def image_chunks(self, size: int) -> Iterator[Tensor]:
        """Yield the vectors of all images in order, ``size`` at a time."""
        if self.image_rows is None:
            yield from torch.split(self.images, size)
            return
        for rows in torch.split(self.image_rows, size):
            yield self.images[rows]

    def voices_of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the voices ``rows`` [b] and their frames, where they lie."""
        places = rows if self.voice_rows is None else self.voice_rows[rows]
        return self.voices[places.to(self.voices.device)], self.frames[rows.to(self.frames.device)]

    def voice_chunks(self, size: int = CHUNK) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all voices and their frames in order, ``size`` at a time."""
        for rows in torch.split(torch.arange(len(self.frames)), size):
            yield self.voices_of(rows)

    def pooled_by(self, pool: Pool, room: float) -> "Pairs":
        """Return the pairs with pooled voices in memory; reads the voices once.

        Args:
            pool: pooling function of a method, see :meth:`ivr.hashing.methods.Method.pool`.
            room: largest number of bytes of the pooled voices. The pairs are returned unchanged if
                the pooled voices need more, or if the voices are pooled already.
        """
        if self.pooled:
            return self
        done, voices, frames = 0, torch.empty(0), torch.empty(0)
        for chunk in self.voice_chunks():
            some, counts = pool(*chunk)
            if not done:
                if some.nbytes / len(some) * len(self.frames) > room:
                    return self
                voices = some.new_empty((len(self.frames), *some.shape[1:]))
                frames = counts.new_empty(len(self.frames))
            voices[done : done + len(some)] = some
            frames[done : done + len(some)] = counts
            done += len(some)
        return replace(
            self,
            voices=voices,
            frames=frames,
            voice_rows=None,
            stored_frames=self.frames,
        )

    def lengths(self) -> Tensor:
        """Return the frames [m] as they are stored: the same, pooled or not."""
        return self.frames if self.stored_frames is None else self.stored_frames

    def to(self, device: torch.device) -> "Pairs":
        """Return the pairs on ``device``; what does not fit there stays and moves by batches."""
        return replace(
            self,
            images=self._moved(self.images, self.image_rows, device),
            labels=self.labels.to(device),
            voices=self._moved(self.voices, self.voice_rows, device),
            frames=self.frames.to(device),
            voice_image=self.voice_image.to(device),
            voice_labels=None if self.voice_labels is None else self.voice_labels.to(device),
        )

    @staticmethod
    def _moved(values: Tensor, mapped_rows: Tensor | None, device: torch.device) -> Tensor:
        """Return ``values`` on ``device``, or where they are if they are mapped or too large."""
        if device.type != "cuda":
            return values.to(device)
        free, _ = torch.cuda.mem_get_info(device)
        return values.to(device) if mapped_rows is None and values.nbytes <= free / 2 else values
