"""How a method is trained; imports no torch, so that the command line can read the defaults."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ivr.config import Share, config

OptimiserName = Literal["adamw", "sgd"]


@config
class TrainConfig:
    """How a method is trained.

    Attributes:
        epochs: passes over the training images; each pass draws one voice per image;
            None takes the method's own number, 120 for divh and nested_codebook, 60 for the
            others.
        batch_size: pairs per batch, at least 3, so that no batch has a single pair.
        optimiser: sgd (with momentum 0.9 and Nesterov's step) or adamw; None takes the method's
            own, sgd for divh as in its paper, adamw for the others.
        learning_rate: highest learning rate of the schedule; None takes the method's own with its
            optimiser, else 0.5 for sgd, 0.003 for adamw.
        weight_decay: decoupled weight decay for adamw, L2 penalty for sgd; None takes 0.01 for
            adamw, 0.0005 for sgd.
        warm_up: share of the steps in which the learning rate rises; then it falls as a cosine.
        validate_every: number of epochs between validations; the last epoch is always validated.
    """

    epochs: PositiveInt | None = None
    batch_size: Annotated[int, Field(ge=3)] = 64
    optimiser: OptimiserName | None = None
    learning_rate: PositiveFloat | None = None
    weight_decay: NonNegativeFloat | None = None
    warm_up: Share = 0.1
    validate_every: PositiveInt = 2
