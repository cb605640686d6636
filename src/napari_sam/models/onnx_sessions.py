"""Graphs on ONNX Runtime: devices, threads, errors; work that can be stopped."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import psutil
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state

from .. import stopping
from .onnx_folder import AGAIN

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""What ONNX Runtime calls our devices, the fastest first."""
ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    RuntimeError,
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
"""All that ONNX Runtime raises; they have no class in common."""
FATAL = 4
"""Level of messages: nothing below it is written to the terminal, as errors are raised."""
LOOKS = 0.02
"""Time between two looks at whether a result is still needed, s."""
Weights = Mapping[str, NDArray[Any]]
"""Weights in place of those that a graph refers to, by their names in the graph."""


class Form(NamedTuple):
    """What arrays of an input or an output look like.

    Attributes
    ----------
    sizes : tuple of (int or None)
        Of the axes; None for any.
    kind : {"float", "int64", "uint8"}
        The type of the numbers, as ONNX calls it.
    """

    sizes: tuple[int | None, ...]
    kind: str = "float"


Forms = Mapping[str, Form]
"""The inputs or the outputs of a graph, by their names."""
IMAGE = Form((None, None, 3), "uint8")
"""What an encoder takes: a resized plane in RGB."""


class Graph:
    """One graph, ready to run on a device.

    Parameters
    ----------
    path : Path
        Of the `.onnx` file. Files of weights that it refers to lie beside it.
    device : str
        One of `PROVIDERS`, with the number of the card after a colon or without.
    inputs, outputs : Forms
        What the graph must have; it may have other outputs, too.
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
        inputs: Forms,
        outputs: Forms,
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
                enable_fallback=0,  # it would print, and go to the processor without a word
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
        self._path, self._on_cpu, self._outputs = path, kind == "cpu", outputs
        self._check_forms(inputs)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Return the outputs that were named; what only other outputs need is not computed.

        Raises
        ------
        ValueError
            If the graph is faulty.
        RuntimeError
            If the device fails, as where its memory is full.
        stopping.Stopped
            If the result is no longer needed.
        """
        stopping.check()
        return self._run(inputs, _run_options())

    def run_long(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Return what `run` does; it can be stopped on the way, also by a signal."""
        stopping.check()
        options = _run_options()
        with ThreadPoolExecutor(1, "ONNX Runtime") as helper:
            answers = helper.submit(self._run, inputs, options)
            try:  # a thread that waits here takes signals, one that computes there does not
                while not wait([answers], LOOKS).done:
                    stopping.check()
            finally:
                options.terminate = True  # nothing is left to end after an answer
            return answers.result()

    def _run(self, inputs: Mapping[str, NDArray[Any]], options: Any) -> list[NDArray[np.float32]]:
        try:
            answers: list[NDArray[np.float32]] = self._session.run(
                list(self._outputs), dict(inputs), options
            )
        except ERRORS as error:
            reason = f"ONNX Runtime fails ({_reason(error)})"
            if self._on_cpu and "alloc" not in reason:  # the processor lacks nothing but memory
                raise ValueError(f"{self._path} is faulty: {reason}; {AGAIN}") from error
            raise RuntimeError(reason) from error
        for (name, form), answer in zip(self._outputs.items(), answers, strict=True):
            if not _fits(answer.shape, form):
                raise ValueError(
                    f"{self._path} is faulty: {name} is {answer.shape}, but should be "
                    f"{_shown(form)}; {AGAIN}"
                )
        return answers

    def _check_forms(self, inputs: Forms) -> None:
        """Refuse a graph with other inputs, or with other outputs under the known names."""
        takes = {one.name: one for one in self._session.get_inputs()}
        gives = {one.name: one for one in self._session.get_outputs()}
        advice = f"it is no {self._path.stem} of such a model; {AGAIN}"
        if takes.keys() != inputs.keys():
            raise ValueError(f"{self._path} takes {', '.join(sorted(takes))}: {advice}")
        if missing := sorted(self._outputs.keys() - gives.keys()):
            raise ValueError(f"{self._path} gives no {', '.join(missing)}: {advice}")
        for own, forms in ((takes, inputs), (gives, self._outputs)):
            for name, form in forms.items():
                kind = own[name].type.removeprefix("tensor(").removesuffix(")")
                if kind != form.kind or not _fits(own[name].shape, form):
                    raise ValueError(
                        f"{self._path} has {name} as {kind} {_shown(Form(own[name].shape))}, not "
                        f"as {form.kind} {_shown(form)}: {advice}"
                    )


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


def _fits(shape: Sequence[int | str | None], form: Form) -> bool:
    """Tell whether sizes, some of which may be open, are those of a form."""
    return len(shape) == len(form.sizes) and all(
        wanted is None or not isinstance(size, int) or size == wanted
        for size, wanted in zip(shape, form.sizes, strict=True)
    )


def _shown(form: Form) -> str:
    """Return sizes for a sentence; those that are open as a star."""
    return f"({', '.join(str(size) if isinstance(size, int) else '*' for size in form.sizes)})"


def _reason(error: Exception) -> str:
    """Return the first line of an error, without the codes before it."""
    line = str(error).strip().partition("\n")[0]
    found = re.match(r"\[ONNXRuntimeError\] : \d+ : \w+ : (.*)", line)
    return (found[1] if found else line) or type(error).__name__
