"""Errors of the training package.

TrainingError
└── NothingFoundError   the model finds no item at all, so nothing can be measured
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
