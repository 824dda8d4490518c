"""What ``ivr doctor`` checks; imports no torch, so that the command line can read the defaults."""

from pydantic import PositiveInt

from ivr.config import config


@config
class DoctorConfig:
    """What to check and to measure.

    Attributes:
        device: Device to check against the CPU: auto, cpu, cuda or cuda:N; auto takes cuda if there
            is one.
        speed: Measure rates as well: images and voices per second, training pairs per second,
            memory.
        encoders: Image encoders whose rates are measured, with random weights.
        images: Number of drawn images that are extracted to measure a rate; the same drawings are
            used again and again.
        rounds: Number of times that each rate is measured; the median is reported.
    """

    device: str = "auto"
    speed: bool = False
    encoders: tuple[str, ...] = ("alexnet", "vgg16")
    images: PositiveInt = 2048
    rounds: PositiveInt = 3
