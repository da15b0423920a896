"""Which decoder unpacks which transfer syntax, and what to install where it is missing."""

from __future__ import annotations

from pathlib import Path

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from quell.errors import InputError

# pydicom's name of the plugin, and the package that brings it. gdcm comes last: a damaged stream
# can bring down the process inside it, where the others raise an error.
_PLUGINS: dict[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(
        (JPEG2000, JPEG2000Lossless), (("pylibjpeg", "pylibjpeg-openjpeg"), ("gdcm", "python-gdcm"))
    ),
    **dict.fromkeys((HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL), (("pylibjpeg", "pylibjpeg-openjpeg"),)),
    **dict.fromkeys(
        (JPEGLSLossless, JPEGLSNearLossless), (("pyjpegls", "pyjpegls"), ("gdcm", "python-gdcm"))
    ),
    **dict.fromkeys((JPEGLossless, JPEGLosslessSV1), (("gdcm", "python-gdcm"),)),
    JPEGBaseline8Bit: (("pillow", "pillow"), ("gdcm", "python-gdcm")),
    JPEGExtended12Bit: (("gdcm", "python-gdcm"),),
    RLELossless: (("pydicom", "pydicom"),),
}


def decoding_plugin(syntax: UID, path: Path) -> str:
    """Return pydicom's name of the plugin that unpacks a compressed transfer syntax.

    Raises
    ------
    InputError
        If none is known, or the package is not installed; the message names both.
    """
    plugins = _PLUGINS.get(syntax)
    if plugins is None:
        raise InputError(path, f"transfer syntax {_name(syntax)} is not read")
    available = get_decoder(syntax).available_plugins
    for plugin, _ in plugins:
        if plugin in available:
            return plugin
    raise InputError(path, f"{_name(syntax)} needs the package {plugins[0][1]}: pip install {plugins[0][1]}")


def _name(syntax: UID) -> str:
    """Return the name of a transfer syntax; an unknown one is not repeated."""
    return syntax.name if syntax.name != str(syntax) else "of an unknown kind"
