"""How a model is packed; imports no torch, so that the command line can read the defaults."""

from pydantic import PositiveFloat, PositiveInt

from ivr.config import config


@config
class PackConfig:
    """How a model is packed.

    Attributes:
        encoder: Pack the image encoder; without it the model answers voices only.
        int8: Store the weights of large matrices as 8-bit integers; the loss in mAP on the test
            split is measured and recorded.
        inputs: Number of images and of voices whose codes are compared with those of the run.
        pictures: Largest number of pictures that the image encoder is compared on: images of the
            run, made-up ones where these are gone.
        picture_seconds: Number of seconds after which no further pictures are compared; the model
            card says how many were.
        licence: Licence of the model, for the model card.
        data_licence: Licence of the data that it was trained on, for the model card.
        author: Name and address of those who answer questions about the model, for the model card.
    """

    encoder: bool = True
    int8: bool = False
    inputs: PositiveInt = 1000
    pictures: PositiveInt = 1000
    picture_seconds: PositiveFloat = 60.0
    licence: str = ""
    data_licence: str = ""
    author: str = ""
