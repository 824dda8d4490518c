"""How a method is trained; imports no torch, so that the command line can read the defaults."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ivr.config import Share, config

OptimiserName = Literal["adamw", "sgd"]
Pairing = Literal["own", "class"]


@config
class TrainConfig:
    """How a method is trained.

    Attributes:
        epochs: Number of passes over the training images; each pass draws one voice per image. By
            default the method's own number: 120 for divh and nested_codebook, 60 for the others.
        batch_size: Number of pairs per batch, at least 3, so that no batch has a single pair.
        optimiser: Optimiser: sgd (with momentum 0.9 and Nesterov's step) or adamw. By default the
            method's own: sgd for divh as in its paper, adamw for the others.
        learning_rate: Highest learning rate of the schedule. By default the method's own with its
            optimiser, else 0.5 for sgd and 0.003 for adamw.
        weight_decay: Weight decay: decoupled for adamw, an L2 penalty for sgd. By default 0.01 for
            adamw and 0.0005 for sgd.
        warm_up: Share of the steps over which the learning rate rises; after them it falls as a
            cosine.
        pairing: Voice beside an image in a batch: ``own`` takes a voice that describes the image,
            and leaves out images without a voice; ``class`` takes any voice of its class, and so
            learns from every labelled image and voice. A method that learns which voice belongs to
            which image takes own alone.
        validate_every: Number of epochs between validations; the last epoch is always validated.
    """

    epochs: PositiveInt | None = None
    batch_size: Annotated[int, Field(ge=3)] = 64
    optimiser: OptimiserName | None = None
    learning_rate: PositiveFloat | None = None
    weight_decay: NonNegativeFloat | None = None
    warm_up: Share = 0.1
    pairing: Pairing = "own"
    validate_every: PositiveInt = 2
