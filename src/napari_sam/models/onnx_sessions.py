"""Graphs on ONNX Runtime: devices, threads, errors; work that can be stopped."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state

from .. import stopping

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""What ONNX Runtime calls our devices, the fastest first."""
ERRORS = tuple(
    kind
    for kind in vars(onnxruntime_pybind11_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
"""All that ONNX Runtime raises; they have no class in common."""
FATAL = 4
"""Level of messages: nothing below it is written to the terminal, as errors are raised."""
LOOKS = 0.02
"""Time between two looks at whether a result is still needed, s."""
Weights = Mapping[str, NDArray[Any]]
"""Weights in place of those that a graph refers to, by their names in the graph."""


class Graph:
    """One graph, ready to run on a device.

    Parameters
    ----------
    path : Path
        Of the `.onnx` file. Files of weights that it refers to lie beside it.
    device : str
        One of `PROVIDERS`, with the number of the card after a colon or without.
    inputs, outputs : collection of str
        The names that the graph must have.
    weights : Weights, optional
        Taken in place of those in the files beside it.

    Raises
    ------
    ValueError
        If it is no graph that can be run, or another one.
    RuntimeError
        If it can be run, but not on this device.
    """

    def __init__(
        self,
        path: Path,
        device: str,
        inputs: Collection[str],
        outputs: Collection[str],
        weights: Weights | None = None,
    ) -> None:
        kind, _, number = device.partition(":")
        provider = PROVIDERS[kind]
        wanted: list[Any] = [(provider, {"device_id": number} if number else {})]
        if kind != "cpu":
            wanted.append(PROVIDERS["cpu"])  # for what the device cannot do
        try:
            self._session = onnxruntime.InferenceSession(
                path,
                _options(kind, weights or {}),
                providers=wanted,
            )
        except ERRORS as error:
            if kind == "cpu":
                raise ValueError(
                    f"ONNX Runtime {onnxruntime.__version__} cannot run {path} "
                    f"({_reason(error)}); update onnxruntime, or export the model again"
                ) from error
            raise RuntimeError(_reason(error)) from error
        if provider not in self._session.get_providers():
            raise RuntimeError("ONNX Runtime finds no driver or library of it")
        own = {one.name for one in self._session.get_inputs()}
        answers = {one.name for one in self._session.get_outputs()}
        if own != set(inputs) or not answers.issuperset(outputs):
            raise ValueError(
                f"{path} takes {', '.join(sorted(own))}, which is not what the "
                f"{path.stem} of such a model takes; export the model again"
            )
        self.outputs = list(outputs)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Return the outputs that were named; what only other outputs need is not computed.

        Raises
        ------
        RuntimeError
            If the device fails, as where its memory is full.
        stopping.Stopped
            If the result is no longer needed.
        """
        stopping.check()
        return self._run(inputs, _run_options())

    def run_long(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Return what `run` does; it can be stopped on the way."""
        options = _run_options()
        with _ended_when_stopped(options):
            return self._run(inputs, options)

    def _run(self, inputs: Mapping[str, NDArray[Any]], options: Any) -> list[NDArray[np.float32]]:
        try:
            answers: list[NDArray[np.float32]] = self._session.run(
                self.outputs, dict(inputs), options
            )
        except ERRORS as error:
            stopping.check()
            raise RuntimeError(f"ONNX Runtime fails ({_reason(error)})") from error
        return answers


def devices() -> list[str]:
    """Return the devices that the installed ONNX Runtime is built for, the fastest first."""
    here = onnxruntime.get_available_providers()
    return [device for device, provider in PROVIDERS.items() if provider in here]


def check_precision(precision: str, own: str, name: str) -> None:
    """Refuse any precision but an exported model's own.

    Raises
    ------
    ValueError
        Telling what to do.
    """
    if precision not in ("auto", own):
        raise ValueError(f"{name} was exported as {own}; leave the precision at auto")


def threads() -> int:
    """Return how many threads a graph runs in: one for each core, or `OMP_NUM_THREADS`.

    That variable sets those of torch and scipy as well.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if re.fullmatch(r"[1-9]\d{0,3}", chosen):
        return int(chosen)
    allowed = getattr(os, "sched_getaffinity", None)  # not on all systems
    usable = len(allowed(0)) if allowed else psutil.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def _options(kind: str, weights: Weights) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads()
    # threads that wait in a loop would take the cores that other programs need, napari among them
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if kind == "directml":  # it has neither
        options.enable_mem_pattern = False
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    if weights:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in weights.values()]
        options.add_external_initializers(list(weights), values)
    return options


def _run_options() -> Any:
    options = onnxruntime.RunOptions()
    options.log_severity_level = FATAL
    options.only_execute_path_to_fetches = True
    return options


@contextmanager
def _ended_when_stopped(options: Any) -> Iterator[None]:
    """Let a run with these options end in an error once its result is no longer needed."""
    context, ended = copy_context(), threading.Event()

    def watch() -> None:
        while not ended.wait(LOOKS):
            try:
                context.run(stopping.check)
            except stopping.Stopped:
                options.terminate = True
                return

    watcher = threading.Thread(target=watch, name="watches ONNX Runtime")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _reason(error: Exception) -> str:
    """Return the first line of an error, without the codes before it."""
    line = str(error).strip().partition("\n")[0]
    found = re.match(r"\[ONNXRuntimeError\] : \d+ : \w+ : (.*)", line)
    return (found[1] if found else line) or type(error).__name__
