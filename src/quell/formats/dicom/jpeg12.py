"""JPEG Extended of 12 bits, which pydicom's plugins do not unpack; GDCM itself does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def decode_jpeg12(frame: bytes, rows: int, columns: int) -> npt.NDArray[np.uint16]:
    """Unpack one grey frame of JPEG process 4 (ISO/IEC 10918-1, extended sequential, 12 bits).

    Parameters
    ----------
    frame : bytes
        The codestream.
    rows, columns : int

    Returns
    -------
    ndarray of uint16, shape (rows, columns)

    Raises
    ------
    ValueError
        If GDCM cannot unpack it.
    """
    import gdcm

    for switch in (gdcm.Trace.ErrorOff, gdcm.Trace.WarningOff, gdcm.Trace.DebugOff):
        switch()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)
    image.SetPhotometricInterpretation(grey)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    # 12 bits allocated, not 16: else GDCM tries another decoder first, and complains about it.
    image.SetPixelFormat(gdcm.PixelFormat(1, 12, 12, 11, 0))
    unpacked = image.GetBuffer()
    if not isinstance(unpacked, str):
        raise ValueError("GDCM cannot unpack the frame")
    # The binding returns the bytes as text, with those beyond ASCII escaped.
    values = np.frombuffer(unpacked.encode("utf-8", "surrogateescape"), np.uint16)
    if values.size != rows * columns:
        raise ValueError("GDCM unpacked another number of pixels")
    return values.reshape(rows, columns)
