"""The last resort of a cart: the configured model, or the one that came with the agent.

A configured model that is damaged, or is not signed where signatures are asked for, does not serve. The
shipped one is not asked for a signature: who can change it can change the agent too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet_agent.activation.golden import load_golden
from fleet_agent.activation.observing import observe
from fleet_agent.activation.outcomes import reason
from fleet_agent.activation.parity import against_recording
from fleet_agent.activation.signing import MANIFEST_NAME, verify_offer
from fleet_agent.activation.store import Offer, read_offer
from fleet_agent.engines.contract import Backend
from fleet_agent.errors import ModelError
from fleet_agent.manifest import ModelManifest, Precision, parse_manifest
from fleet_agent.perception import PerceptionEngine
from fleet_agent.ports import Clock


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model that opened.

    Attributes:
        engine: Belongs to the caller.
        manifest: Of it.
        directory: Of it.
        name: sha256 of its manifest.
    """

    engine: PerceptionEngine
    manifest: ModelManifest
    directory: Path
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseOpener:
    """Opens the base model on ONNX Runtime.

    Attributes:
        base: Folder of the configured or shipped model.
        shipped: Folder of the shipped model.
        trusted: Keys that may sign, by id; None: signatures are not asked for.
        reference: ONNX Runtime on the CPU.
        cameras: Rows of the engine's input.
        clock: Time.
    """

    base: Path
    shipped: Path
    trusted: Mapping[str, bytes] | None
    reference: Backend
    cameras: int
    clock: Clock

    def open(self, on_fallback: Callable[[str], None]) -> BaseModel:
        """Return the configured model, or else the shipped one.

        Args:
            on_fallback: Told in one sentence what is wrong with the model that should serve.

        Raises:
            ModelError: not even the shipped model can be opened.
        """
        if self.base != self.shipped:
            try:
                offer = read_offer(self.base)
                if self.trusted is not None:
                    verify_offer(offer.document, offer.signature, self.trusted)
                return self._open(offer, on_fallback)
            except Exception as error:  # noqa: BLE001  # whatever a library does, there is the shipped model
                on_fallback(f"the shipped model serves instead: {reason(error)}")
        return self._open(read_offer(self.shipped), on_fallback)

    def _open(self, offer: Offer, on_fallback: Callable[[str], None]) -> BaseModel:
        """Open a model; what is wrong with its answers is told, and it serves: the cart's owner chose it."""
        manifest = parse_manifest(offer.document, str(offer.directory / MANIFEST_NAME))
        engine = self.reference.open(
            offer.directory, manifest, precision="fp32", cameras=self.cameras, plan=None
        )
        try:
            wrong = wrong_answers(engine, offer.directory, manifest, "fp32", clock=self.clock)
        except ModelError as error:
            wrong = str(error)
        except BaseException:
            engine.close()
            raise
        if wrong:
            on_fallback(wrong)
        return BaseModel(engine, manifest, offer.directory, offer.name)


def wrong_answers(
    engine: PerceptionEngine, directory: Path, manifest: ModelManifest, precision: Precision, *, clock: Clock
) -> str:
    """Hold an engine to the recording of training; returns why it may not serve, empty when it may.

    Raises:
        GoldenError: the golden frames cannot be used.
        EngineError: the network failed.
    """
    golden = load_golden(directory, manifest)
    seen = observe(engine, manifest, golden, clock=clock, runs=0)
    return " ".join(against_recording(manifest, golden, seen, manifest.artifacts[precision].parity))
