"""What to write into a manifest, from what a network's outputs look like."""

import msgspec

from fleet_agent.manifest import ModelManifest
from fleet_agent.model_check.findings import Finding, fail, ok
from fleet_agent.model_check.layout import Guess

LAYOUT_REMEDY = "docs/bring_your_own_model.md lists the layouts that are decoded"


def described(found: Guess | None) -> Finding:
    """Tell somebody without a manifest what to write into one."""
    if found is None:
        return fail("decoder", "the outputs look like none of the layouts that are decoded", LAYOUT_REMEDY)
    if found.decoder is None:
        return fail("decoder", found.sentence, found.remedy)
    decide = f"; {found.decide}" if found.decide else ""
    return ok(
        "decoder", f'{found.sentence}; for the manifest: "decoder": {found.written(found.decoder)}{decide}'
    )


def remedy(manifest: ModelManifest, found: Guess | None) -> str:
    """Return what to change in a manifest that does not fit."""
    if found is None:
        return LAYOUT_REMEDY
    if found.decoder is None:
        return found.remedy
    spec = manifest.decoder
    decoder, *others = (
        msgspec.structs.replace(
            reading, score_threshold=spec.score_threshold, max_detections=spec.max_detections
        )
        for reading in (found.decoder, *found.others)
    )
    parts = []
    if decoder != spec:
        parts.append(" or ".join([f'set "decoder": {found.written(decoder)}', *map(found.written, others)]))
    if found.classes != len(manifest.classes):
        parts.append(f"list the {found.classes} classes that the network knows, in its order")
    if found.decide:
        parts.append(found.decide)
    return "; ".join(parts) or LAYOUT_REMEDY
