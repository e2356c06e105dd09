"""Errors of the training package.

TrainingError
├── NothingFoundError   the model finds no item at all, so nothing can be measured
├── OtherDecoderError   a model card was asked for a model of another kind
└── UnfinishedRunError  a training did not come to its end
"""


class TrainingError(Exception):
    """Base of everything this package raises itself."""


class NothingFoundError(TrainingError):
    """The model finds no item in any frame; it was trained too short or on something else.

    Attributes:
        events: How many events were shown.
    """

    def __init__(self, events: int) -> None:
        self.events = events
        super().__init__(f"the model found nothing in {events} events: train it longer before measuring it")


class UnfinishedRunError(TrainingError):
    """A training was cut short, or was made with other settings.

    Attributes:
        folder: Of the run.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(f"{folder} holds no finished training with these settings")


class OtherDecoderError(TrainingError):
    """Model cards are written for ``center`` models only.

    Attributes:
        kind: Of the decoder that was given.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"model cards tell of center models; this one's decoder is {kind}")
