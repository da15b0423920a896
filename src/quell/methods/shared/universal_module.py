"""The universal denoiser that ships as one module: from an image in any units to the denoised image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from quell.errors import ModelError
from quell.inference.kinds import one_hot
from quell.inference.normalise import MEAN_BLOCK, difference_scale, level_from_log, local_mean
from quell.models.registry import WEIGHTS, find_card
from quell.networks.noise_estimator import BLOCK, NoiseEstimator
from quell.networks.universal_unet import UniversalUNet, denoiser_widths

MULTIPLE = MEAN_BLOCK
"""Rows and columns must be a multiple of this."""

FILE = "weights.safetensors"


class UniversalModule(nn.Module):
    """Estimate the noise, normalise by it, denoise the middle slice, undo the normalisation.

    The estimator is not trained any more: its errors are known only where the true noise is.

    Parameters
    ----------
    kind : str
        What its images show, one of `quell.inference.kinds.KINDS`; nothing if that is open.
    widths : sequence of int
        Of the denoiser.
    """

    kind: Tensor

    def __init__(self, kind: str = "", widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        self.estimator = NoiseEstimator().requires_grad_(False)
        self.denoiser = UniversalUNet(widths=widths)
        self.register_buffer("kind", torch.from_numpy(one_hot(kind))[None], persistent=False)
        self.slices: int = self.denoiser.stem.in_channels

    def forward(self, stack: Tensor) -> Tensor:
        """Return the denoised middle slice, shape (n, 1, y, x), of a stack (n, slices, y, x)."""
        image = self._middle(stack)
        level, descriptor = self._noise(image)
        condition = torch.cat((descriptor, self._kind(image)), dim=1)
        noise: Tensor = self.denoiser((stack - local_mean(image)) / level, condition)
        return image - level * noise

    @torch.no_grad()
    def level(self, stack: Tensor) -> Tensor:
        """Return the mean level of the noise of each crop, shape (n, 1, 1, 1)."""
        level: Tensor = self._noise(self._middle(stack))[0]
        return level.mean(dim=(1, 2, 3), keepdim=True)

    def _middle(self, stack: Tensor) -> Tensor:
        centre = self.slices // 2
        return stack[:, centre : centre + 1]

    def _noise(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scale = difference_scale(image) + 1e-8
        log_level, descriptor = self.estimator(image / scale, self._kind(image))
        level: Tensor = level_from_log(log_level + scale.log(), BLOCK)
        return level, descriptor

    def _kind(self, image: Tensor) -> Tensor:
        return self.kind.expand(image.shape[0], -1)


def load_universal(identifier: str, kind: str = "") -> UniversalModule:
    """Return a universal model that ships, with its weights.

    Parameters
    ----------
    identifier : str
        ``name.tag``.
    kind : str
        What its images will show, one of `quell.inference.kinds.KINDS`; nothing if that is open.

    Raises
    ------
    ModelError
        If there is none of this name, or its weights cannot be trained on.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = find_card(identifier)
    file: Path = WEIGHTS / card.identifier / FILE
    if card.method != "universal" or not file.is_file():
        raise ModelError(f"{identifier} ships without weights to train on ({FILE})")
    try:
        weights = load_file(file)
        module = UniversalModule(kind, denoiser_widths(weights))
        module.load_state_dict(weights)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{file}: {' '.join(str(error).split())}") from error
    return module
