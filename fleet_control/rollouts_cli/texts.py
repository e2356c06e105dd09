"""What the command line shows of the API's answers. Pure."""

from typing import Any

from fleet_control.rollouts_cli.tables import clean, table, time, wrapped

Answer = dict[str, Any]


def _words(value: object) -> str:
    return clean(value).replace("_", " ")


def _short(digest: str | None) -> str | None:
    return digest[:8] if digest else digest


def rollouts(answer: Answer) -> str:
    """Return the list of rollouts."""
    rows = [_row(one) for one in answer["rollouts"]]
    if not rows:
        return "There are no rollouts."
    return table(("ID", "STATUS", "STAGE", "DONE", "FAILED", "CHANGED", "WHY"), rows, right="DONE FAILED")


def _row(one: Answer) -> tuple[object, ...]:
    stages, current = one["stages"], one["current_stage"]
    counted = sum(stage["counted"] for stage in stages) + one["pool"]
    done = sum(stage["counts"]["done"] for stage in stages)
    failed = sum(stage["counts"]["failed"] + stage["counts"]["regressed"] for stage in stages)
    stage = None if current is None else stages[current]["name"]
    changed = time(one["changed_at"])
    return one["id"], _words(one["status"]), stage, f"{done}/{counted}", failed, changed, one["why"]


def rollout(one: Answer) -> str:
    """Return one rollout with its stages, verdicts and what may be done."""
    by = ", by a gate" if one["automatic"] else ""
    why = f": {one['why']}" if one["why"] else ""
    lines = [
        wrapped(f"{one['id']}: {_words(one['status'])} since {time(one['changed_at'])}{by}{why}"),
        f"model {clean(one['model'])}, baseline {clean(one['baseline'])}, version {one['version']}",
        f"created by {clean(one['created_by'])} at {time(one['created_at'])}",
        "",
        _stages(one),
    ]
    if one["pool"]:
        lines += ["", f"{one['pool']:,} carts are in no stage yet: controls."]
    if one["verdicts"]:
        said = (f"{word['gate']} {_words(word['verdict'])}" for word in one["verdicts"])
        lines += ["", "Gates: " + ", ".join(said)]
    allowed = [_words(choice["action"]) for choice in one.get("choices", ()) if choice["allowed"]]
    lines += ["", "You may: " + (", ".join(allowed) or "only look") + "."]
    return "\n".join(lines)


def _stages(one: Answer) -> str:
    rows = []
    for stage in one["stages"]:
        counts = stage["counts"]
        moving = counts["told"] + counts["working"] + counts["proving"] + counts["reverting"]
        out = counts["unreachable"] + counts["excluded"]
        rows.append(
            (
                ("> " if stage["index"] == one["current_stage"] else "  ") + stage["name"],
                _words(stage["status"]),
                stage["planned"],
                counts["done"],
                moving,
                counts["waiting"],
                counts["failed"] + counts["regressed"] + counts["revert_failed"],
                counts["reverted"],
                out,
                stage["why"],
            )
        )
    titles = ("  STAGE", "STATUS", "SIZE", "DONE", "MOVING", "WAIT", "FAILED", "BACK", "AWAY", "WHY")
    return table(titles, rows, right="DONE MOVING WAIT FAILED BACK AWAY")


def carts(answer: Answer) -> str:
    """Return the carts of a rollout."""
    rows = [
        (
            cart["store"],
            cart["cart"],
            _words(cart["status"]),
            cart["stage"],
            cart["attempt"],
            cart["device"],
            _short(cart["running"]),
            time(cart["changed_at"]),
            cart["why"],
        )
        for cart in answer["carts"]
    ]
    titles = ("STORE", "CART", "STATUS", "STAGE", "TRY", "SAYS", "RUNS", "CHANGED", "WHY")
    return table(titles, rows, right="STAGE TRY") if rows else "No carts."


def evidence(answer: Answer) -> str:
    """Return what the gates know."""
    rows = [
        (
            gate["gate"],
            _words(gate["verdict"]) + (" (shadow)" if gate["mode"] == "shadow" else ""),
            f"{_number(gate['e_value'])} / {_number(gate['threshold'])}",
            _interval(gate["interval"]),
            _share(gate["canary"]) if gate["pairs"] is None else f"{gate['pairs']} pairs",
            _share(gate["control"]),
            gate["needed"],
        )
        for gate in answer["gates"]
    ]
    if not rows:
        return "The gates know nothing yet."
    titles = ("GATE", "SAYS", "E / FAILS AT", "CANARY - CONTROL", "CANARY", "CONTROL", "NEEDED")
    notes = (wrapped(f"{gate['gate']}: {gate['note']}") for gate in answer["gates"] if gate["note"])
    meaning = "NEEDED: about so many more canary events until harm would be found."
    numbers = table(titles, rows, right="CANARY CONTROL NEEDED")
    return "\n".join([numbers, "", *notes, meaning])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _interval(bounds: list[float] | None) -> str | None:
    """Return an interval in percentage points."""
    return None if bounds is None else f"{100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f} pp"


def _share(pair: list[int] | None) -> str | None:
    return None if pair is None else f"{_compact(pair[0])}/{_compact(pair[1])}"


def _compact(count: int) -> str:
    """Return a count of at most five digits; `--json` has them all."""
    if count < 100_000:
        return str(count)
    return f"{count // 1_000}k" if count < 100_000_000 else f"{count // 1_000_000}M"


def log(answer: Answer) -> str:
    """Return entries of the log, one a line."""
    return "\n".join(entry(one) for one in answer["entries"]) or "Nothing has happened yet."


def entry(one: Answer) -> str:
    """Return one entry of the log."""
    return f"{one['number']:>6}  {time(one['at'])}  {clean(one['text'])}"


def audit(answer: Answer) -> str:
    """Return commands."""
    rows = [
        (
            time(one["at"]),
            one["actor"],
            _words(one["role"]),
            _words(one["action"]),
            one["rollout"],
            one["reason"] if one["outcome"] == "done" else f"REFUSED: {one['outcome']}",
        )
        for one in answer["commands"]
    ]
    titles = ("AT", "WHO", "ROLE", "ACTION", "ROLLOUT", "REASON")
    return table(titles, rows) if rows else "Nobody has asked for anything yet."


def preview(answer: Answer) -> str:
    """Return what a plan would mean."""
    rows = [
        (stage["name"], stage["carts"], stage["pairs"], len(stage["by_store"]), _kinds(stage["by_hardware"]))
        for stage in answer["stages"]
    ]
    lines = [
        f"{answer['carts']:,} carts: {answer['offline']:,} offline, {answer['already']:,} run it already.",
        "",
        table(("STAGE", "CARTS", "PAIRS", "STORES", "HARDWARE"), rows, right="CARTS PAIRS STORES"),
    ]
    lines += [wrapped(f"PROBLEM: {problem}") for problem in answer["problems"]]
    lines += [wrapped(f"warning: {warning}") for warning in answer["warnings"]]
    return "\n".join(lines)


def _kinds(by_hardware: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(by_hardware.items()))
