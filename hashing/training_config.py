"""How a method is trained; imports no torch, so that the command line can read the defaults."""

from dataclasses import dataclass
from typing import Literal, get_args

OptimiserName = Literal["adamw", "sgd"]


@dataclass(frozen=True)
class TrainConfig:
    """How a method is trained.

    Attributes:
        epochs: passes over the training images, each image with one of its voices, drawn anew;
            None takes the method's own number, 120 for divh and nested_codebook, 60 for the
            others.
        batch_size: pairs in a batch, 3 or more, so that none is left with one.
        optimiser: sgd (with momentum 0.9 and Nesterov's step) or adamw; None takes the method's
            own, sgd for divh as in its paper, adamw for the others.
        learning_rate: at the top of the schedule; None takes the method's own with its optimiser,
            else 0.5 for sgd, 0.003 for adamw.
        weight_decay: decoupled for adamw, an L2 penalty for sgd; None takes 0.01 for
            adamw, 0.0005 for sgd.
        warm_up: share of the steps over which the learning rate rises; it falls as a cosine after.
        validate_every: epochs between two looks at the validation split; the last is looked at.
    """

    epochs: int | None = None
    batch_size: int = 64
    optimiser: OptimiserName | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    warm_up: float = 0.1
    validate_every: int = 2

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.optimiser is not None and self.optimiser not in get_args(OptimiserName):
            raise ValueError(
                f"optimiser must be {' or '.join(get_args(OptimiserName))}, got {self.optimiser!r}"
            )
        for name in ("epochs", "validate_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch_size < 3:
            raise ValueError(f"batch_size must be at least 3, got {self.batch_size}")
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up must be in [0, 1), got {self.warm_up}")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.weight_decay is not None and self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")
