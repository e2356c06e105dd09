"""Stories about an engine's life, told with doubles: what only a real GPU can show is in `test_gpu.py`."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_agent.engines.fitting import TensorFacts
from fleet_agent.engines.onnxruntime_engine import OnnxRuntimeModel
from fleet_agent.engines.tensorrt.cuda import CudaGpu, load_cuda, page_aligned
from fleet_agent.engines.tensorrt.engine import TensorRtEngine
from fleet_agent.errors import DeviceError, EngineBusyError, EngineError, InferenceError, PlanLoadError
from tests.fleet_agent.engines.doubles import GpuDouble, TensorRtDouble
from tests.fleet_agent.engines.graphs import Model, center_model, noise

CAMERAS = 4
IMAGES = TensorFacts("images", (None, 3, 32, 32))
OUTPUTS = [TensorFacts("scores", (None, 3, 8, 8)), TensorFacts("boxes", (None, 4, 8, 8))]


class Cart:
    """A plan's file, the doubles, and the network that the doubles compute: ONNX Runtime's."""

    def __init__(self, folder: Path) -> None:
        self.model: Model = center_model(folder)
        self.reference = OnnxRuntimeModel(folder, self.model.manifest)
        self.plan = folder / "0123456789abcdef.plan"
        self.plan.write_bytes(b"plan")
        self.gpu = GpuDouble()

    def trt(self, **changes: Any) -> TensorRtDouble:
        """Return a TensorRT whose plan is the model's."""
        given: dict[str, Any] = {"inputs": [IMAGES], "outputs": OUTPUTS, "network": self.compute}
        return TensorRtDouble(self.gpu, **(given | changes))

    def compute(self, batch: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Run the reference."""
        return self.reference.run(batch)

    def engine(self, trt: TensorRtDouble | None = None, **changes: Any) -> TensorRtEngine:
        """Open the plan."""
        given: dict[str, Any] = {
            "bindings": (trt or self.trt()).bindings,
            "gpu": self.gpu,
            "device": "Orin",
            "precision": "fp16",
            "cameras": CAMERAS,
        }
        return TensorRtEngine(self.plan, self.model.manifest, **(given | changes))


@pytest.fixture
def cart(tmp_path: Path) -> Cart:
    """A cart with a GPU."""
    return Cart(tmp_path)


@pytest.mark.parametrize("cuda_graph", [True, False])
def test_an_engine_answers_as_the_network_does(cart: Cart, cuda_graph: bool) -> None:  # noqa: FBT001
    """Frame after frame, with and without a CUDA graph: every copy in and out happens each time."""
    engine = cart.engine(cuda_graph=cuda_graph)
    for seed in range(3):
        engine.input[:] = noise(CAMERAS, seed)
        answers = engine.infer(CAMERAS)
        for name, expected in cart.compute(noise(CAMERAS, seed)).items():
            np.testing.assert_array_equal(answers[name], expected)
    info = engine.info
    assert str(info) == "tensorrt 10.3.0 fp16 on Orin plan 0123456789ab"
    engine.close()


def test_a_graph_is_recorded_once_and_replayed(cart: Cart) -> None:
    """Three warm-ups, one recording; after that TensorRT is not called any more."""
    engine = cart.engine()
    assert cart.gpu.done.count("enqueue") == 4
    assert cart.gpu.done.count("capture") == 1
    before = cart.gpu.done.count("launch")
    for _ in range(5):
        engine.infer(1)
    assert cart.gpu.done.count("enqueue") == 4
    assert cart.gpu.done.count("launch") == before + 5


@pytest.mark.parametrize("failing", ["capture", "launch", ""])
def test_a_refused_graph_is_reported_and_the_engine_still_runs(cart: Cart, failing: str) -> None:
    """Slower, not wrong, and `info` says so: nobody has to guess from the latency."""
    cart.gpu.failing = {failing}
    engine = cart.engine(cart.trt(capturable=bool(failing)))
    assert engine.info.note.startswith("no CUDA graph: ")
    assert "no CUDA graph" in str(engine.info)
    engine.input[:] = noise(CAMERAS)
    np.testing.assert_array_equal(engine.infer(4)["scores"], cart.compute(noise(4))["scores"])
    engine.close()
    assert cart.gpu.held == 0


def test_outputs_in_half_precision_are_widened(cart: Cart) -> None:
    """Readers get float32 whatever the plan answers in."""
    halves = [TensorFacts(tensor.name, tensor.shape, "float16") for tensor in OUTPUTS]
    engine = cart.engine(cart.trt(outputs=halves))
    engine.input[:] = noise(CAMERAS)
    answers = engine.infer(CAMERAS)
    assert {array.dtype.name for array in answers.values()} == {"float32"}
    np.testing.assert_allclose(answers["scores"], cart.compute(noise(CAMERAS))["scores"], atol=1e-3)


def test_the_input_is_the_same_memory_for_life(cart: Cart) -> None:
    """It was pinned once; replacing it would lose that and leave the graph with the old address."""
    engine = cart.engine()
    address = engine.input.ctypes.data
    for _ in range(3):
        engine.infer(CAMERAS)
        assert engine.input.ctypes.data == address
    assert address in cart.gpu.pinned_arrays
    assert engine.input.shape == (CAMERAS, 3, 32, 32)


def test_an_output_that_nobody_reads_is_not_copied(cart: Cart) -> None:
    """Extra outputs of an export cost no copy, whatever their type."""

    def network(batch: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        return {**cart.compute(batch), "labels": np.zeros(CAMERAS, np.int64)}

    outputs = [*OUTPUTS, TensorFacts("labels", (CAMERAS,), "int64")]
    engine = cart.engine(cart.trt(outputs=outputs, network=network))
    assert set(engine.infer(CAMERAS)) == {"scores", "boxes"}
    assert len(cart.gpu.pinned_arrays) == 3
    assert len(cart.gpu.memory) == 4


@pytest.mark.parametrize(
    ("refusing", "why"),
    [
        ("runtime", "no runtime was made"),
        ("deserialize", "refused; 1: the plan is of another machine"),
        ("context", "no execution context"),
        ("set_input_shape", "built for another shape of 'images'"),
        ("infer_shapes", r"shapes of \['images'\] are not known"),
        ("set_tensor_address", "refuses the address of 'images'"),
    ],
)
def test_every_refusal_of_tensorrt_is_a_typed_error(cart: Cart, refusing: str, why: str) -> None:
    """None and False become errors with TensorRT's words, and nothing is left behind."""
    with pytest.raises(PlanLoadError, match=why):
        cart.engine(cart.trt(refusing=refusing))
    assert cart.gpu.held == 0


def test_a_refused_enqueue_is_a_typed_error(cart: Cart) -> None:
    """In the warm-up it stops the engine; later it is an error of that inference."""
    with pytest.raises(InferenceError, match="did not run"):
        cart.engine(cart.trt(refusing="execute"))
    assert cart.gpu.held == 0
    trt = cart.trt()
    engine = cart.engine(trt, cuda_graph=False)
    trt.refusing = "execute"
    with pytest.raises(InferenceError, match="did not run"):
        engine.infer(1)


@pytest.mark.parametrize("failing", ["use", "create_stream", "allocate", "pinned", "copy_in", "synchronize"])
def test_every_refusal_of_cuda_is_a_typed_error(cart: Cart, failing: str) -> None:
    """A GPU without memory, or gone: an error with CUDA's name of it, and what can be freed is freed."""
    cart.gpu.failing = {failing}
    with pytest.raises(DeviceError, match="cudaErrorDouble"):
        cart.engine()
    assert cart.gpu.held == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"outputs": OUTPUTS[:1]}, "no output 'boxes'"),
        ({"outputs": [TensorFacts("scores", (None, 5, 8, 8)), OUTPUTS[1]]}, "holds 5 classes"),
        ({"outputs": [TensorFacts("scores", (4, 3, None, 8)), OUTPUTS[1]]}, "depends on the data"),
        ({"outputs": [TensorFacts("scores", (4, 3, 8, 8), "bf16"), OUTPUTS[1]]}, "which numpy lacks"),
        ({"outputs": [TensorFacts("scores", (4, 3, 8, 8), "int64"), OUTPUTS[1]]}, "not a float32 or float16"),
        ({"inputs": [TensorFacts("pixels", IMAGES.shape)]}, "the manifest says 'images'"),
        ({"inputs": [TensorFacts("images", (None, 3, 64, 64))]}, "N x 3 x 32 x 32"),
        ({"inputs": [TensorFacts("images", IMAGES.shape, "float16")]}, "is not float32"),
        ({"inputs": [TensorFacts("images", (2, 3, 32, 32))]}, "fixed batch of 2, and there are 4 cameras"),
        ({"inputs": [IMAGES, TensorFacts("size", (None, 2))]}, "the model's inputs are"),
    ],
)
def test_a_plan_that_is_not_the_manifests_network_is_refused(
    cart: Cart, changes: dict[str, Any], why: str
) -> None:
    """A deliberately wrong plan loads well; names, types and shapes give it away."""
    with pytest.raises(PlanLoadError, match=why):
        cart.engine(cart.trt(**changes))
    assert cart.gpu.held == 0


def test_a_shape_tensor_is_refused(cart: Cart) -> None:
    """An input that lives in the CPU's memory is no picture."""
    trt = cart.trt()
    trt.on_host.add("images")
    with pytest.raises(PlanLoadError, match="lives in the CPU's memory"):
        cart.engine(trt)


def test_closing_gives_everything_back_in_order(cart: Cart) -> None:
    """First wait, then graph, context, engine, runtime, memory, stream; a second time is harmless."""
    engine = cart.engine()
    cart.gpu.done.clear()
    engine.close()
    kept = [step for step in cart.gpu.done if step not in ("free", "unpin")]
    order = ["synchronize", "destroy_graph", "context gone", "engine gone", "runtime gone", "destroy_stream"]
    assert kept == order
    assert cart.gpu.done.index("free") > cart.gpu.done.index("runtime gone")
    assert cart.gpu.held == 0
    engine.close()
    assert cart.gpu.done.count("destroy_stream") == 1
    with pytest.raises(EngineError, match="closed"):
        engine.infer(1)


def test_an_input_that_is_still_held_after_closing_is_ordinary_memory(cart: Cart) -> None:
    """A preprocessor that writes one frame too late writes into nothing that matters."""
    engine = cart.engine()
    held = engine.input
    engine.close()
    held[:] = 1.0
    assert held.sum() == held.size


def test_closing_goes_on_where_the_gpu_refuses(cart: Cart) -> None:
    """A GPU that fell off the bus refuses everything; the process must still get rid of the engine."""
    engine = cart.engine()
    cart.gpu.failing = {"synchronize", "unpin", "destroy_graph"}
    engine.close()
    assert not cart.gpu.memory
    assert not cart.gpu.streams


@pytest.mark.parametrize("frames", [0, 5])
def test_more_frames_than_cameras_are_refused(cart: Cart, frames: int) -> None:
    """Four rows hold one to four pictures."""
    with pytest.raises(EngineError, match="do not fit an engine of 4 rows"):
        cart.engine().infer(frames)


def test_a_second_thread_is_refused_while_the_first_is_in(cart: Cart) -> None:
    """Both would use one context and one input; the error names who is in there."""
    trt = cart.trt()
    engine = cart.engine(trt, cuda_graph=False)
    inside, leave = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert leave.wait(20)

    trt.threads_in_enqueue = wait
    thread = threading.Thread(target=engine.infer, args=(1,), name="vision")
    thread.start()
    assert inside.wait(20)
    with pytest.raises(EngineBusyError, match="'vision' is in it"):
        engine.infer(1)
    leave.set()
    thread.join(20)
    assert not thread.is_alive()


def test_an_engine_that_changes_threads_takes_its_gpu_along(cart: Cart) -> None:
    """The parity gate tries it, vision uses it: CUDA's current device is each thread's own."""
    engine = cart.engine()
    used = cart.gpu.done.count("use")
    engine.infer(1)
    assert cart.gpu.done.count("use") == used
    thread = threading.Thread(target=engine.infer, args=(1,))
    thread.start()
    thread.join(20)
    assert cart.gpu.done.count("use") == used + 1


def test_benchmarks_get_the_gpus_own_times(cart: Cart) -> None:
    """With copies and without."""
    assert cart.engine().times_ms() == (1.0, 1.0)


@pytest.mark.parametrize("shape", [(1,), (4, 3, 32, 32), (3, 1000), (4096,)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_pinned_memory_begins_at_a_page(shape: tuple[int, ...], dtype: str) -> None:
    """CUDA pins whole pages; what begins in the middle of one would pin its neighbours."""
    array = page_aligned(shape, dtype)
    assert array.ctypes.data % 4096 == 0
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert not array.any()


def test_a_gpu_that_is_not_there_is_a_typed_error() -> None:
    """The real cuda-bindings, asked for the thousandth GPU: CUDA's name of the error is in it."""
    with pytest.raises(DeviceError, match=r"cudaSetDevice: cudaError\w+ \(") as caught:
        CudaGpu(load_cuda(), 1000)
    assert caught.value.call == "cudaSetDevice"
    assert caught.value.code.startswith("cudaError")


def test_a_missing_cuda_library_is_a_typed_error() -> None:
    """cuda-bindings opens CUDA at the first call and raises an error of its own where it is not there."""

    class Missing:
        """CUDA bindings whose library is not there."""

        def __getattr__(self, name: str) -> Callable[[int], None]:
            def call(_: int) -> None:
                raise RuntimeError(f"Function {name} not found")

            return call

    with pytest.raises(DeviceError, match=r"cudaSetDevice: RuntimeError .*not found"):
        CudaGpu(Missing(), 0)


def test_an_error_that_is_not_ours_leaves_nothing_behind(cart: Cart) -> None:
    """Memory ran out in numpy, or somebody pressed Ctrl-C: the GPU is given back all the same."""

    def interrupted(_: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cart.engine(cart.trt(network=interrupted))
    assert cart.gpu.held == 0


class Driverless(CudaGpu):
    """The real cuda-bindings without the first check, to reach every call."""

    def use(self) -> None:
        """Pretend."""


def test_every_call_of_cuda_exists_and_takes_what_it_is_given() -> None:
    """Without a driver each call of the real cuda-bindings refuses, but none is unknown or malformed."""
    try:
        CudaGpu(load_cuda(), 0)
    except DeviceError:
        gpu = Driverless(load_cuda(), 0)
    else:
        pytest.skip("a GPU answers: test_gpu.py makes these calls for real")
    array = page_aligned((16,), np.float32)
    calls: list[Callable[[], object]] = [
        gpu.facts,
        gpu.create_stream,
        lambda: gpu.destroy_stream(1),
        lambda: gpu.synchronize(1),
        lambda: gpu.pinned((16,), np.float32),
        lambda: gpu.unpin(array),
        lambda: gpu.allocate(64),
        lambda: gpu.free(1),
        lambda: gpu.copy_in(1, array, 1),
        lambda: gpu.copy_out(array, 1, 1),
        lambda: gpu.capture(lambda: None, 1),
        lambda: gpu.launch(1, 1),
        lambda: gpu.destroy_graph(1),
        lambda: gpu.elapsed_ms(lambda: None, 1),
    ]
    for call in calls:
        with pytest.raises(DeviceError):
            call()
