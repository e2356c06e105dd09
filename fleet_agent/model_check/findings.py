"""What is said about a model, one finding after the other."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: Such as `input`.
        verdict: OK; WARN: it runs, and somebody should know; FAIL: it cannot run on a cart.
        detail: What was found, or what is wrong.
        remedy: What to do about it; empty when it is OK.
    """

    part: str
    verdict: Verdict
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" — {self.remedy}" if self.remedy else ""
        return f"{self.verdict:<4} {self.part}: {self.detail}{remedy}"


def ok(part: str, detail: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(part, "OK", detail)


def warn(part: str, detail: str, remedy: str) -> Finding:
    """Say that something runs, and that somebody should know."""
    return Finding(part, "WARN", detail, remedy)


def fail(part: str, detail: str, remedy: str) -> Finding:
    """Say that something cannot run on a cart."""
    return Finding(part, "FAIL", detail, remedy)
