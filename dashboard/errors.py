"""What can go wrong in the dashboard.

DashboardError
├── SourceError                a source did not give its answer; carries the source and a sentence
│   ├── SourceTimeoutError     not within the time allowed
│   ├── SourceUnavailableError nobody answered
│   └── SourceRefusedError     it understood and said no
├── TargetError                CARTWRIGHT_WAREHOUSE or CARTWRIGHT_CONTROL makes no sense
│   └── NotConnectedError      CARTWRIGHT_CONTROL is not set: this dashboard watches only
└── PlanDraftError             what was typed is no rollout plan
"""


class DashboardError(Exception):
    """Base of everything this package raises."""


class SourceError(DashboardError):
    """A source did not give its answer.

    Attributes:
        source: Who was asked, for people: "the warehouse".
        question: Name of the query.
        sentence: What went wrong, for people; holds no secret and no raw server text.
    """

    def __init__(self, source: str, question: str, sentence: str) -> None:
        super().__init__(f"{source}, {question}: {sentence}")
        self.source = source
        self.question = question
        self.sentence = sentence


class SourceTimeoutError(SourceError):
    """Not within the time allowed."""


class SourceUnavailableError(SourceError):
    """Nobody answered."""


class SourceRefusedError(SourceError):
    """It understood the question and refused it.

    Attributes:
        status: Of HTTP, where it was asked that way.
    """

    def __init__(self, source: str, question: str, sentence: str, status: int | None = None) -> None:
        super().__init__(source, question, sentence)
        self.status = status


class TargetError(DashboardError):
    """An address makes no sense; the message is for people."""


class NotConnectedError(TargetError):
    """No control API is configured."""


class PlanDraftError(DashboardError):
    """What was typed is no rollout plan; the message is for people."""
