"""`redcnn`: the residual encoder-decoder of Chen et al., the field's reference for low-dose CT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodConfig, MethodFacts, Need
from quell.networks.redcnn import REACH, REDCNN, SMALLEST


class REDCNNConfig(MethodConfig):
    """Settings of `redcnn`.

    Attributes
    ----------
    width
        Channels of all layers.
    """

    rate: float = Field(1e-4, gt=0)
    size: int = Field(64, ge=SMALLEST)
    width: int = Field(96, ge=1)

    @field_validator("slices")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that there is a middle slice")
        return value


class REDCNNMethod(BaseMethod):
    """RED-CNN: mean squared error between the denoised image and the clean one.

    Source: Chen H et al., IEEE Transactions on Medical Imaging 36(12):2524-2535, 2017. Faithful: layers,
    kernels, 96 channels, places of the residual additions, mean squared error, Adam, a rate that falls from
    1e-4.

    Ours: crops of 64 pixels in place of 55, mirrored and transposed as for every method here; the cosine of
    the rate; HU over 1000 in place of numbers from 0 to 1, for which the last ReLU is left out; the number of
    steps; neighbouring slices as an option.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="redcnn",
        title="Residual encoder-decoder network with the mean squared error",
        source="Chen H et al., IEEE Transactions on Medical Imaging 36(12):2524-2535, 2017",
        fidelity=Fidelity.NAMED,
        need=Need.PAIRED,
        modalities=(Modality.CT,),
        ours="crops of 64 pixels, the cosine of the rate, HU over 1000 and no last ReLU, the number of steps",
        objects=("anatomy-ct",),
    )
    Config: ClassVar[type[MethodConfig]] = REDCNNConfig

    def __init__(self, config: Any, data: DataFacts) -> None:
        super().__init__(config, data)
        if min(data.shape[1:]) < SMALLEST:
            raise QuellError(f"redcnn needs images of at least {SMALLEST} rows and columns")
        self.networks = {"denoiser": REDCNN(config.slices, config.width)}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a training of seconds."""
        return {"width": 8, "size": 32, "batch": 4, "rate": 3e-3}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the mean squared error."""
        assert batch.clean is not None
        yield "denoiser", functional.mse_loss(self.networks["denoiser"](batch.noisy), middle(batch.clean))

    def exported(self) -> Exported:
        """Return the network; a tile needs the reach of its ten layers."""
        # Unpadded convolutions leave nothing of an image smaller than this.
        return Exported(plain(self.networks["denoiser"]), slices=self.config.slices, multiple=32, halo=REACH)


METHOD = REDCNNMethod
