"""What the command line shows of the API's answers, within the width of a terminal (None: uncut). Pure."""

from typing import Any

from fleet_control.plurals import many
from fleet_control.rollouts_cli import inventory, legend
from fleet_control.rollouts_cli.tables import WIDTH, clean, table, time, wrapped
from fleet_control.rollouts_cli.words import typed, words

Answer = dict[str, Any]
FINAL = ("completed", "rolled_back", "aborted")


def _short(digest: str | None) -> str | None:
    return digest[:8] if digest else digest


def rollouts(answer: Answer, width: int | None = WIDTH) -> str:
    """Return the list of rollouts."""
    rows = [_row(one) for one in answer["rollouts"]]
    if not rows:
        return "There are no rollouts."
    titles = ("ID", "STATUS", "STAGE", "DONE", "FAILED", "CHANGED", "WHY")
    return table(titles, rows, width=width, right=("DONE", "FAILED"))


def _row(one: Answer) -> tuple[object, ...]:
    stages, current = one["stages"], one["current_stage"]
    counted = sum(stage["counted"] for stage in stages) + one["pool"]
    done = sum(stage["counts"]["done"] for stage in stages)
    failed = sum(stage["counts"]["failed"] + stage["counts"]["regressed"] for stage in stages)
    stage = None if current is None else stages[current]["name"]
    changed = time(one["changed_at"])
    return one["id"], words(one["status"]), stage, f"{done}/{counted}", failed, changed, one["why"]


def rollout(one: Answer, width: int | None = WIDTH) -> str:
    """Return one rollout with its stages, verdicts and what may be done."""
    lines = [
        wrapped(_state(one)),
        f"model {clean(one['model'])}, baseline {clean(one['baseline'])}, version {one['version']}",
        f"created by {clean(one['created_by'])} at {time(one['created_at'])}",
    ]
    # A service of an older version does not say it.
    if (live := one.get("live")) is not None:
        when = "when it ended" if one["status"] in FINAL else "now"
        lines.append(f"live {when}: the model on {many(live, 'cart')}")
    lines += ["", _stages(one, width)]
    lines += [
        wrapped(f"{stage['name']} {words(stage['status'])}: {stage['why']}")
        for stage in one["stages"]
        if stage["why"]
    ]
    if one["pool"]:
        where = "in no stage" if one["status"] in FINAL else "in no stage yet: compared with those that are"
        lines += ["", f"{many(one['pool'], 'cart')} of the target {where}."]
    if one["verdicts"]:
        said = (f"{word['gate']} {words(word['verdict'])}" for word in one["verdicts"])
        lines += ["", "Gates: " + ", ".join(said)]
    allowed = [typed(choice["action"]) for choice in one.get("choices", ()) if choice["allowed"]]
    lines += ["", f"You may: {', '.join(allowed) or 'only look'}."]
    if allowed:
        lines.append(f"   As in: cartwright rollouts {_nearest(one, allowed)} {one['id']}")
    return "\n".join(lines)


def _nearest(one: Answer, allowed: list[str]) -> str:
    """Return the action whose example is shown: what somebody copies at night must not spread a bad model."""
    failed = any(word["verdict"] == "fail" for word in one["verdicts"])
    return "rollback" if failed and "rollback" in allowed else allowed[0]


def _state(one: Answer) -> str:
    by = ", by a gate" if one["automatic"] else ""
    why = f": {one['why']}" if one["why"] else ""
    status, at = words(one["status"]), time(one["changed_at"])
    if one["status"] not in FINAL:
        return f"{one['id']}: {status} since {at}{by}{why}"
    ends = {"done": "kept the model", "reverted": "went back", "revert_failed": "did not go back in time"}
    counted = {name: sum(stage["counts"][name] for stage in one["stages"]) for name in ends}
    carts = "; ".join(f"{many(n, 'cart')} {ends[name]}" for name, n in counted.items() if n)
    return f"{one['id']}: ended {at}, {status}{by}{why} ({carts or 'no cart was changed'})"


def _stages(one: Answer, width: int | None) -> str:
    rows = []
    for stage in one["stages"]:
        counts = stage["counts"]
        rows.append(
            (
                ("> " if stage["index"] == one["current_stage"] else "  ") + stage["name"],
                words(stage["status"]),
                stage["planned"],
                counts["done"],
                counts["told"] + counts["working"] + counts["proving"],
                counts["waiting"],
                counts["failed"] + counts["regressed"] + counts["revert_failed"],
                counts["reverting"],
                counts["reverted"],
                counts["unreachable"] + counts["excluded"],
            )
        )
    titles = ("  STAGE", "STATUS", "SIZE", *legend.COLUMNS)
    return table(titles, rows, width=width, right=tuple(legend.COLUMNS))


def carts(answer: Answer, width: int | None = WIDTH) -> str:
    """Return the carts of a rollout."""
    rows = [
        (
            cart["store"],
            cart["cart"],
            words(cart["status"]),
            cart["stage"],
            cart["attempt"],
            words(cart["device"]),
            _short(cart["running"]),
            time(cart["changed_at"]),
            cart["why"],
        )
        for cart in answer["carts"]
    ]
    titles = ("STORE", "CART", "STATUS", "STAGE", "TRY", "SAYS", "RUNS", "CHANGED", "WHY")
    return table(titles, rows, width=width, right=("STAGE", "TRY")) if rows else "No carts."


def evidence(answer: Answer, width: int | None = WIDTH) -> str:
    """Return what the gates know."""
    rows = [
        (
            gate["gate"],
            words(gate["verdict"]) + (" (shadow)" if gate["mode"] == "shadow" else ""),
            f"{_number(gate['e_value'])} / {_number(gate['threshold'])}",
            _interval(gate["interval"]),
            _share(gate["canary"]) if gate["pairs"] is None else many(gate["pairs"], "pair"),
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
    numbers = table(titles, rows, width=width, right=("CANARY", "CONTROL", "NEEDED"))
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


def audit(answer: Answer, width: int | None = WIDTH) -> str:
    """Return commands, each accepted or refused."""
    rows = [
        (
            time(one["at"]),
            one["actor"],
            words(one["role"]),
            typed(one["action"]),
            one["rollout"],
            _outcome(one),
            one["reason"],
        )
        for one in answer["commands"]
    ]
    titles = ("AT", "WHO", "ROLE", "ACTION", "ROLLOUT", "OUTCOME", "REASON")
    return table(titles, rows, width=width, flexible=2) if rows else "Nobody has asked for anything."


def _outcome(command: Answer) -> str:
    outcome = str(command["outcome"])
    if outcome == "done":
        return "accepted"
    why = outcome.removeprefix(f"{command['action']} is refused: ")
    return f"refused: {why}"


def preview(answer: Answer, width: int | None = WIDTH) -> str:
    """Return what a plan would mean."""
    rows = [
        (stage["name"], stage["carts"], stage["pairs"], len(stage["by_store"]), _kinds(stage["by_hardware"]))
        for stage in answer["stages"]
    ]
    titles = ("STAGE", "CARTS", "PAIRS", "STORES", "HARDWARE")
    offline, already = f"{answer['offline']:,} offline", f"{answer['already']:,} with the model already"
    lines = [
        f"{many(answer['carts'], 'cart')}: {offline}, {already}.",
        "",
        table(titles, rows, width=width, right=("CARTS", "PAIRS", "STORES")),
    ]
    lines += [wrapped(f"PROBLEM: {problem}") for problem in answer["problems"]]
    lines += [wrapped(f"  {hint}") for hint in inventory.hints(" ".join(answer["problems"]))]
    lines += [wrapped(f"warning: {warning}") for warning in answer["warnings"]]
    return "\n".join(lines)


def _kinds(by_hardware: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(by_hardware.items()))
