"""Denoisers of other makes in the place of the universal network: told the same, run by the same code.

A body takes the normalised slices and gives the noise of the middle one in units of its level. It sees the
three slices that the universal network sees; the condition it gets and does not use.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from quell.errors import ModelError
from quell.inference.kinds import KINDS
from quell.models.card import ModelCard
from quell.models.registry import CARD, MODEL, WEIGHTS, find_card, weights_hash
from quell.networks.dncnn import DnCNN
from quell.networks.redcnn import LAYERS, REACH, REDCNN
from quell.networks.unet2d import UNet2d, doubled
from quell.training.release import HALO, export, kmac_per_pixel
from quell.training.universal import Pair, starting_weights

SLICES = 3
UNIVERSAL = "universal"
OWN = "estimator."
SHIPPED = WEIGHTS / "universal.fast" / "weights.safetensors"


class DnCNNNoise(DnCNN):
    """DnCNN with 17 convolutions of 64 channels and batch normalisation, up to the noise that it finds."""

    halo, multiple = 17, 1

    def __init__(self) -> None:
        super().__init__(SLICES)

    def forward(self, stack: Tensor) -> Tensor:
        """Return the noise, shape (n, 1, y, x)."""
        noise: Tensor = self.last(self.body(stack))
        return noise


class REDCNNNoise(REDCNN):
    """RED-CNN with ten layers of 96 channels, without the last addition of the image.

    What is added last is the noise with its sign turned: taken from the image and the image from it, floats
    of 16 bits would lose it beside values of hundreds of times the noise.
    """

    halo, multiple = REACH, 1

    def __init__(self) -> None:
        super().__init__(SLICES)
        _begin_without_noise(self.decoder[-1])

    def forward(self, noisy: Tensor) -> Tensor:
        """Return the noise, shape (n, 1, y, x)."""
        features, kept = noisy, []
        for number, layer in enumerate(self.encoder, 1):
            features = torch.relu(layer(features))
            if number % 2 == 0:
                kept.append(features)
        for number, layer in enumerate(self.decoder, 1):
            features = layer(features)
            # The second and the fourth convolution are as large as the third and the first of the way back.
            if number in (LAYERS - 4, LAYERS - 2):
                features = features + kept.pop()
            if number < LAYERS:
                features = torch.relu(features)
        return -features


class UNet64Noise(UNet2d):
    """A U-Net of four levels, 64 channels at the first."""

    def __init__(self) -> None:
        super().__init__(SLICES, widths=doubled(64, 4), down="maximum", up="transposed", slope=0.0)
        _begin_without_noise(self.head)


def _begin_without_noise(last: Any) -> None:
    """Let a body begin where DnCNN begins, at no noise: a short run is not to be spent on the way there."""
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


BODIES: dict[str, Callable[[], Any]] = {
    "DnCNN": DnCNNNoise,
    "RED-CNN": REDCNNNoise,
    "U-Net-64": UNet64Noise,
}
"""Beside these there is `UNIVERSAL`, which is told the condition too."""

RATES = {"DnCNN": 1e-3, "RED-CNN": 5e-4, "U-Net-64": 5e-4, UNIVERSAL: 2e-3}
"""Learning rates of Adam where none is given."""


class Untold(nn.Module):
    """A body with the inputs of the universal denoiser, of which it uses the slices alone.

    Parameters
    ----------
    body : Module
        From (n, SLICES, y, x) to (n, 1, y, x); its `halo` and `multiple` are those of the card.
    """

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.config = {"slices": SLICES}
        self.body = body
        self.halo, self.multiple = int(body.halo), int(body.multiple)

    def forward(self, normalised: Tensor, condition: Tensor) -> Tensor:
        """Return the noise of the middle slice; see `quell.networks.universal_unet.UniversalUNet`."""
        noise: Tensor = self.body(normalised)
        # An exporter drops inputs that nothing reads.
        return noise + 0 * condition[:, :1, None, None]


class Peer(Pair):
    """The frozen estimator of a universal network, and a body.

    Parameters
    ----------
    body : str
        One of `BODIES`, or `UNIVERSAL`.

    Raises
    ------
    ModelError
        If there is no such body.
    """

    def __init__(self, body: str) -> None:
        super().__init__("fast")
        if body in BODIES:
            self.denoiser = Untold(BODIES[body]()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        elif body != UNIVERSAL:
            raise ModelError(f"no body {body!r}; there is: {', '.join((*BODIES, UNIVERSAL))}")
        self.body = body
        self.estimator.requires_grad_(False)

    @property
    def halo(self) -> int:
        """Pixels of context that a tile needs."""
        return HALO if self.body == UNIVERSAL else int(self.denoiser.halo)

    @property
    def multiple(self) -> int:
        """What rows and columns are to be multiples of."""
        return 2 ** len(self.denoiser.widths) if self.body == UNIVERSAL else int(self.denoiser.multiple)

    @property
    def parameters_of_body(self) -> int:
        """Weights without those of the estimator."""
        return sum(p.numel() for p in self.denoiser.parameters())

    def take_estimator(self, file: Path) -> None:
        """Take the estimator out of the weights of a universal network.

        Raises
        ------
        ModelError
            If they have none that fits.
        """
        try:
            found = {k[len(OWN) :]: v for k, v in load_file(file).items() if k.startswith(OWN)}
            self.estimator.load_state_dict(found)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"{file}: no estimator in it: {' '.join(str(error).split())}") from error

    def start_from(self, file: Path) -> None:
        """Begin with the weights of a universal network, its estimator's too.

        Raises
        ------
        ModelError
            If they do not fit, or the body is another one.
        """
        if self.body != UNIVERSAL:
            raise ModelError(f"weights of a universal network cannot begin a {self.body}")
        self.load_state_dict(starting_weights(file, self))


@lru_cache
def kmac(body: str) -> float:
    """Return the multiplications of a body, in thousands per pixel."""
    # Weights of its own: a network in training would take the empty image into its statistics.
    return round(kmac_per_pixel(Peer(body).eval()), 2)


def write_model(peer: Peer, run: Path, modalities: tuple[str, ...], told: dict[str, Any]) -> Path:
    """Export a peer into a run, as models that ship are exported.

    Parameters
    ----------
    peer : Peer
    run : Path
        Its folder; the model gets one within it.
    modalities : tuple of str
        That it was trained for; those of the network that ships where there are none.
    told : dict
        What is known of the training.

    Returns
    -------
    Path
        The card.
    """
    folder = run / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in peer.state_dict().items()}
    export(peer, folder)
    save_file(weights, folder / "weights.safetensors")
    files = {role: f"{role}.onnx" for role in ("denoiser", "estimator")}
    plain = {key: value for key, value in told.items() if isinstance(value, (str, int, float))}
    card = ModelCard(
        name="peer",
        tag=peer.body.lower(),
        version="1.0.0",
        description=f"{peer.body}, trained on the samples of the universal network for comparison with it.",
        modalities=modalities or find_card("universal.fast").modalities,
        kmac_per_pixel=kmac(peer.body),
        parameters=sum(p.numel() for p in peer.parameters()),
        slices=SLICES,
        kinds=KINDS,
        multiple=peer.multiple,
        halo=peer.halo,
        files=files,
        sha256=weights_hash({role: folder / name for role, name in files.items()}),
        training=plain,
    )
    (folder / CARD).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    return folder / CARD
