"""`cartwright-agent model check`: whether somebody's own network will work on a cart, and why not."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fleet_agent.durable import open_regular
from fleet_agent.engines.describe import Network
from fleet_agent.engines.onnx_file import Outline, read_outline
from fleet_agent.errors import AgentError, EngineError, ManifestError
from fleet_agent.manifest import ModelManifest, parse_manifest
from fleet_agent.model_check.declared import check_declared, check_graph, input_shape
from fleet_agent.model_check.findings import Finding, fail, ok, warn
from fleet_agent.model_check.trials import Trials

__all__ = ["Finding", "check_model"]

MANIFEST_REMEDY = "see docs/bring_your_own_model.md for a manifest to start from"
# A network of a cart has some megabytes; what is larger than this is read by nothing here.
MAX_ONNX_BYTES = 1 << 30
# What a manifest may say of the input, and more cameras than a cart has: nothing larger is tried, because its
# pictures alone would fill a machine.
MAX_SIDE, MAX_ROWS = 4096, 64


def check_model(file: Path, manifest_path: Path) -> Iterator[Finding]:
    """Look at a network and its manifest; what does not depend on a part that failed is still looked at.

    Args:
        file: The ONNX file.
        manifest_path: `manifest.json`, or the folder it is in; golden frames are beside it.
    """
    path = manifest_path / "manifest.json" if manifest_path.is_dir() else manifest_path
    manifest: ModelManifest | None = None
    try:
        manifest = parse_manifest(_read(path), str(path))
        yield ok("manifest", f"{manifest.name} {manifest.version}, {len(manifest.classes)} classes")
    except AgentError as error:
        yield fail("manifest", str(error), MANIFEST_REMEDY)
    try:
        document = _read(file)
        outline = read_outline(document)
    except AgentError as error:
        yield fail("file", f"{file}: {error}", "export the network to ONNX again")
        return
    yield ok(
        "file", f"{len(document)} bytes, ONNX IR {outline.ir_version}, made by {outline.producer or 'nobody'}"
    )
    if manifest is not None:
        yield _digest(file, document, manifest)
    yield from check_graph(outline)
    yield from _network(file, outline, manifest, path.parent)


def _read(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            document = file.read(MAX_ONNX_BYTES + 1)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}") from error
    if len(document) > MAX_ONNX_BYTES:
        raise EngineError(f"more than {MAX_ONNX_BYTES} bytes are no network of a cart")
    return document


def _digest(file: Path, document: bytes, manifest: ModelManifest) -> Finding:
    sha256 = hashlib.sha256(document).hexdigest()
    for precision, artifact in manifest.artifacts.items():
        if artifact.sha256 == sha256:
            named = "" if artifact.file == file.name else f", where it is called {artifact.file}"
            return ok("sha256", f"is the manifest's {precision} artifact{named}")
    by_name = [precision for precision, artifact in manifest.artifacts.items() if artifact.file == file.name]
    precision = by_name[0] if by_name else "fp32"
    return warn(
        "sha256",
        f"{sha256} is not in the manifest: a cart refuses the file",
        f'set artifacts.{precision} to {{"file": "{file.name}", "sha256": "{sha256}"}}',
    )


def _network(file: Path, outline: Outline, manifest: ModelManifest | None, folder: Path) -> Iterator[Finding]:
    try:
        network = Network(file)
    except EngineError as error:
        other = sorted({domain for domain, _ in outline.operators} - {"", "ai.onnx"})
        remedy = f"operators of {', '.join(other)} may be unknown to it; " if other else ""
        yield fail("runtime", str(error), f"{remedy}export the network again and load it with ONNX Runtime")
        return
    yield ok("runtime", f"{network.runtime} loads it on the CPU")
    yield from check_declared(network.inputs, network.outputs, manifest)
    shape = input_shape(network.inputs, manifest)
    if shape is None:
        return
    if max(shape[1:]) > MAX_SIDE or (shape[0] or 1) > MAX_ROWS:
        yield fail(
            "input",
            f"{shape[0] or 1} pictures of {shape[2]} x {shape[1]} at once are too much for a cart",
            f"export for at most {MAX_SIDE} x {MAX_SIDE}, with a batch that is free or the number of cameras",
        )
        return
    if manifest is not None:
        # Where the manifest is wrong about the input, that is said already, and the rest can still be seen.
        _, height, width = shape
        spec = msgspec.structs.replace(manifest.input, height=height, width=width)
        manifest = msgspec.structs.replace(manifest, input=spec)
    yield from Trials(network, shape, manifest, folder).run()
