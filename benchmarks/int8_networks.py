"""A denoiser in 8-bit integers: quantised after training, calibrated on images of the training split."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from physics_validation import stretches

from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import Network, Runtime
from quell.inference.network_denoiser import NetworkDenoiser
from quell.models.card import ModelCard
from quell.noise.ct import CTNoise
from quell.noise.mri import MRINoise
from quell.training.pack import Found, read_manifest, references

SIDE = 96
"""Of the squares that are looked at for the range of the activations, pixels."""

QUANTISED = ("Conv", "ConvTranspose")
"""Where the multiplications are; sums, products and the condition stay in floats."""

PERCENTILE = 99.99
"""Of the activations, that the 8 bits span: at edges they are hundreds of times the noise."""

_PER_KIND = 6


@dataclass
class Recorder:
    """A runtime that keeps what denoisers are given.

    Attributes
    ----------
    runtime : Runtime
        That runs them.
    seen : list of dict
        The inputs of the denoiser by name, for each slice.
    """

    runtime: Runtime
    seen: list[dict[str, FloatArray]] = field(default_factory=list)

    @property
    def description(self) -> str:
        """That of the runtime."""
        return self.runtime.description

    def load(self, file: Path, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool) -> Network:
        """Load a network; see `quell.inference.contracts.Runtime.load`."""
        network, names = self.runtime.load(file, shapes, streams, exact), list(shapes)
        if names[0] != "normalised":
            return network

        def run(*inputs: FloatArray) -> tuple[FloatArray, ...]:
            self.seen.append({name: one.copy() for name, one in zip(names, inputs, strict=True)})
            return network(*inputs)

        return run


@dataclass(frozen=True)
class Precise:
    """A runtime that runs everything in 32-bit floats."""

    runtime: Runtime

    @property
    def description(self) -> str:
        """Engine and device, in 32-bit floats."""
        return f"{self.runtime.description.rpartition(' ')[0]} f32"

    def load(self, file: Path, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool) -> Network:
        """Load a network; see `quell.inference.contracts.Runtime.load`."""
        return self.runtime.load(file, shapes, streams, True)


def training_images(data: Path) -> Iterator[Image]:
    """Yield images of the training split with noise: CT and MR of lower doses, PET as it is."""
    rng = np.random.default_rng(0)
    for modality in ("CT", "MR", "PT"):
        for found in _first(data, modality):
            image = stretches(found, found.pixel_mm or 1.0, Modality(modality))
            if modality == "CT":
                model = CTNoise().calibrate(image)
                yield model.simulate(image, float(rng.choice([0.25, 0.1])), rng).image
            elif modality == "MR":
                object_ = image.with_voxels(np.maximum(image.voxels, 0))
                yield (
                    MRINoise(snr=float(rng.choice([10, 6])), zero_filling=1.3)
                    .acquire(object_, 1.0, rng)
                    .image
                )
            else:
                yield image


def _first(data: Path, modality: str) -> list[Found]:
    entries = [e for e in read_manifest() if e["modality"] == modality]
    found = (f for e in entries for f in references(e, data, "train"))
    some = []
    for one in found:
        if min(one.voxels.shape[1:]) >= 96:
            some.append(one)
        if len(some) == _PER_KIND:
            break
    return some


def calibration(
    card: ModelCard, files: Mapping[str, Path], runtime: Runtime, data: Path
) -> list[dict[str, FloatArray]]:
    """Return what the product gives the network for training images: squares of stacks, and conditions."""
    recorder = Recorder(runtime)
    denoiser = NetworkDenoiser(card, dict(files), recorder, streams=1)
    for image in training_images(data):
        denoiser.denoise(image, 1.0)
    # Slices that follow each other say much the same.
    return [_cut(one) for one in recorder.seen[1::3]]


def _cut(inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    stack = inputs["normalised"]
    y, x = (max(0, (length - SIDE) // 2) for length in stack.shape[2:])
    return {**inputs, "normalised": np.ascontiguousarray(stack[:, :, y : y + SIDE, x : x + SIDE])}


def quantise(
    source: Path,
    target: Path,
    inputs: Sequence[Mapping[str, FloatArray]],
    float_ends: bool,
    method: str,
    ranges: Mapping[str, Any] | None = None,
) -> None:
    """Write a network whose convolutions are in 8-bit integers (QDQ, weights by output channel).

    Parameters
    ----------
    source, target : Path
        ONNX files.
    inputs : sequence of mapping
        To find the ranges of the activations with.
    float_ends : bool
        Whether the first and the last convolution stay in floats.
    method : str
        ``"MinMax"``, ``"Entropy"`` or ``"Percentile"``.
    ranges : mapping, optional
        Of activations that are known, see `int8_aware.overrides`.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    names = convolutions(prepared)
    logging.getLogger().setLevel(logging.ERROR)
    quantization.quantize_static(
        str(prepared),
        str(target),
        _Reader(inputs),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTISED),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=[names[0], names[-1]] if float_ends else [],
        calibrate_method=quantization.CalibrationMethod[method],
        extra_options={
            "TensorQuantOverrides": dict(ranges or {}),
            "OpTypesToExcludeOutputQuantization": list(QUANTISED),
            **({"CalibPercentile": PERCENTILE} if method == "Percentile" else {}),
        },
    )
    _floats_elsewhere(target)


def _floats_elsewhere(file: Path) -> None:
    """Give all but the convolutions the floats again.

    ONNX Runtime hands what it has rounded for a convolution to the sums as well, so that the identity paths
    lose at every block.
    """
    import onnx

    model = onnx.load(str(file))
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in (*QUANTISED, "QuantizeLinear", "DequantizeLinear"):
            continue
        for k, name in enumerate(node.input):
            short = makers.get(name)
            if short is not None and short.op_type == "DequantizeLinear" and short.input[0] in makers:
                node.input[k] = makers[short.input[0]].input[0]
    onnx.save(model, str(file))


def convolutions(file: Path) -> list[str]:
    """Return the names of the convolutions of a network, in the order in which they run."""
    import onnx

    return [node.name for node in onnx.load(str(file)).graph.node if node.op_type in QUANTISED]


def quantised_convolutions(file: Path) -> int:
    """Return how many convolutions of a network get quantised inputs."""
    import onnx

    nodes = onnx.load(str(file)).graph.node
    made = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    return sum(node.op_type in QUANTISED and node.input[0] in made for node in nodes)


class _Reader:
    """Hand out inputs one by one, as ONNX Runtime asks for them."""

    def __init__(self, inputs: Sequence[Mapping[str, FloatArray]]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> Any:
        return next(self._left, None)
