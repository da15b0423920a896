"""Synthetic but valid enhanced multi-frame DICOM objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset, FileDataset

from samples.dicom_parts import ROOT, Pixels, Place, code, image, made, with_more


def enhanced_ct(
    pixels: Pixels, place: Place | None = None, slope: float = 1, intercept: float = -1024, **more: Any
) -> FileDataset:
    """Return one multi-frame CT object of all slices (z, y, x)."""
    at = place or Place()
    ds = _enhanced("2.1", "CT", pixels, at, more)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.MultienergyCTAcquisition = "NO"
    shared = ds.SharedFunctionalGroupsSequence[0]
    shared.CTImageFrameTypeSequence = [_frame_type(ds.ImageType)]
    shared.PixelValueTransformationSequence = [
        made(RescaleIntercept=intercept, RescaleSlope=slope, RescaleType="HU")
    ]
    shared.FrameVOILUTSequence = [made(WindowCenter=40, WindowWidth=400)]
    shared.FrameAnatomySequence = [_anatomy()]
    shared.CTAcquisitionTypeSequence = [
        made(AcquisitionType="SPIRAL", ConstantVolumeFlag="NO", FluoroscopyFlag="NO")
    ]
    shared.CTAcquisitionDetailsSequence = [
        made(
            RotationDirection="CW",
            RevolutionTime=0.5,
            SingleCollimationWidth=0.6,
            TotalCollimationWidth=38.4,
            TableHeight=150.0,
            GantryDetectorTilt=0.0,
            DataCollectionDiameter=500.0,
        )
    ]
    shared.CTTableDynamicsSequence = [made(TableSpeed=40.0, TableFeedPerRotation=20.0, SpiralPitchFactor=0.9)]
    shared.CTGeometrySequence = [
        made(DistanceSourceToDetector=1085.0, DistanceSourceToDataCollectionCenter=595.0)
    ]
    shared.CTReconstructionSequence = [
        made(
            ReconstructionAlgorithm="FILTER_BACK_PROJ",
            ConvolutionKernel="B30f",
            ConvolutionKernelGroup="SOFT_TISSUE",
            ReconstructionDiameter=400.0,
            ReconstructionPixelSpacing=list(at.spacing),
            ReconstructionAngle=360.0,
            ReconstructionTargetCenterPatient=[0.0, 0.0, 0.0],
            ImageFilter="NONE",
        )
    ]
    shared.CTExposureSequence = [
        made(
            ExposureTimeInms=500.0,
            XRayTubeCurrentInmA=200.0,
            ExposureInmAs=100.0,
            ExposureModulationType="NONE",
            CTDIvol=8.0,
        )
    ]
    shared.CTExposureSequence[0].CTDIPhantomTypeCodeSequence = [
        code("113691", "DCM", "IEC Body Dosimetry Phantom")
    ]
    shared.CTXRayDetailsSequence = [
        made(
            KVP=120,
            FocalSpots=[1.2],
            FilterType="WEDGE",
            FilterMaterial="MIXED",
            CalciumScoringMassFactorPatient=0.7,
        )
    ]
    shared.CTPositionSequence = [
        made(
            DataCollectionCenterPatient=[0.0, 0.0, 0.0],
            ReconstructionTargetCenterPatient=[0.0, 0.0, 0.0],
            TablePosition=0.0,
        )
    ]
    return with_more(ds, more)


def enhanced_mr(
    pixels: Pixels, place: Place | None = None, slopes: Sequence[float] | None = None, **more: Any
) -> FileDataset:
    """Return one multi-frame MR object of all slices (z, y, x); `slopes` gives each frame its own rescale."""
    ds = _enhanced("4.1", "MR", pixels, place or Place(), more)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.ComplexImageComponent, ds.AcquisitionContrast = "MAGNITUDE", "T1"
    ds.MagneticFieldStrength, ds.ResonantNucleus, ds.ApplicableSafetyStandardAgency = 1.5, "1H", "IEC"
    ds.KSpaceFiltering, ds.PulseSequenceName, ds.MRAcquisitionType = "NONE", "se2d", "2D"
    ds.EchoPulseSequence, ds.MultipleSpinEcho, ds.MultiPlanarExcitation = "SPIN", "NO", "NO"
    ds.PhaseContrast, ds.TimeOfFlightContrast = "NO", "NO"
    ds.SteadyStatePulseSequence, ds.EchoPlanarPulseSequence, ds.SaturationRecovery = "NONE", "NO", "NO"
    ds.SpectrallySelectedSuppression, ds.OversamplingPhase = "NONE", "NONE"
    ds.GeometryOfKSpaceTraversal, ds.RectilinearPhaseEncodeReordering = "RECTILINEAR", "LINEAR"
    ds.SegmentedKSpaceTraversal, ds.NumberOfKSpaceTrajectories = "SINGLE", 1
    shared = ds.SharedFunctionalGroupsSequence[0]
    shared.MRImageFrameTypeSequence = [_frame_type(ds.ImageType)]
    shared.MRImageFrameTypeSequence[0].ComplexImageComponent = "MAGNITUDE"
    shared.MRImageFrameTypeSequence[0].AcquisitionContrast = "T1"
    shared.FrameAnatomySequence = [_anatomy()]
    for name, item in _mr_macros().items():
        setattr(shared, name, [item])
    frames = ds.PerFrameFunctionalGroupsSequence
    for frame, slope in zip(frames, slopes or [1] * len(frames), strict=True):
        frame.PixelValueTransformationSequence = [
            made(RescaleIntercept=0, RescaleSlope=slope, RescaleType="US")
        ]
    return with_more(ds, more)


def _enhanced(sop_class: str, modality: str, pixels: Pixels, at: Place, more: dict[str, Any]) -> FileDataset:
    ds = image(sop_class, modality, pixels, at, more)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, keyword)
    del ds.AcquisitionDate, ds.AcquisitionTime
    ds.NumberOfFrames, ds.InstanceNumber = len(pixels), 1
    ds.AcquisitionDateTime, ds.AcquisitionDuration, ds.AcquisitionNumber = "20240301100900", 10.0, 1
    ds.ContentQualification, ds.PixelPresentation = "PRODUCT", "MONOCHROME"
    ds.VolumetricProperties, ds.VolumeBasedCalculationTechnique = "VOLUME", "NONE"
    ds.BurnedInAnnotation, ds.LossyImageCompression, ds.PresentationLUTShape = "NO", "00", "IDENTITY"
    ds.AcquisitionContextSequence = []
    organization = f"{ROOT}.5"
    ds.DimensionOrganizationSequence = [made(DimensionOrganizationUID=organization)]
    ds.DimensionIndexSequence = [
        made(
            DimensionIndexPointer=0x00200032,
            FunctionalGroupPointer=0x00209113,
            DimensionOrganizationUID=organization,
        )
    ]
    shared = made()
    shared.PixelMeasuresSequence = [made(PixelSpacing=list(at.spacing), SliceThickness=at.thickness)]
    shared.PlaneOrientationSequence = [made(ImageOrientationPatient=list(at.orientation))]
    if modality == "CT":
        shared.IrradiationEventIdentificationSequence = [made(IrradiationEventUID=f"{ROOT}.6")]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [_frame(at.moved(i), i) for i in range(len(pixels))]
    return ds


def _frame(at: Place, index: int) -> Dataset:
    frame = made()
    frame.FrameContentSequence = [
        made(
            FrameAcquisitionNumber=1,
            FrameAcquisitionDateTime="20240301100900",
            FrameReferenceDateTime="20240301100900",
            FrameAcquisitionDuration=500.0,
            StackID="1",
            InStackPositionNumber=index + 1,
            DimensionIndexValues=[index + 1],
        )
    ]
    frame.PlanePositionSequence = [made(ImagePositionPatient=list(at.position))]
    return frame


def _frame_type(image_type: Sequence[str]) -> Dataset:
    return made(
        FrameType=list(image_type),
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
    )


def _anatomy() -> Dataset:
    item = made(FrameLaterality="U")
    item.AnatomicRegionSequence = [code("818981001", "SCT", "Abdomen")]
    return item


def _mr_macros() -> dict[str, Dataset]:
    return {
        "MRTimingAndRelatedParametersSequence": made(
            RepetitionTime=500,
            FlipAngle=90,
            EchoTrainLength=1,
            RFEchoTrainLength=1,
            GradientEchoTrainLength=0,
            OperatingModeSequence=[made(OperatingModeType="WHOLE BODY", OperatingMode="IEC_NORMAL")],
            SpecificAbsorptionRateSequence=[
                made(SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=1.0)
            ],
        ),
        "MREchoSequence": made(EffectiveEchoTime=12.0),
        "MRFOVGeometrySequence": made(
            InPlanePhaseEncodingDirection="ROW",
            MRAcquisitionFrequencyEncodingSteps=64,
            MRAcquisitionPhaseEncodingStepsInPlane=64,
            PercentSampling=100,
            PercentPhaseFieldOfView=100,
        ),
        "MRModifierSequence": made(
            InversionRecovery="NO",
            FlowCompensation="NONE",
            Spoiling="NONE",
            T2Preparation="NO",
            SpectrallySelectedExcitation="NONE",
            SpatialPresaturation="NONE",
            PartialFourier="NO",
            ParallelAcquisition="NO",
        ),
        "MRReceiveCoilSequence": made(
            ReceiveCoilName="BODY",
            ReceiveCoilManufacturerName="",
            ReceiveCoilType="BODY",
            QuadratureReceiveCoil="NO",
        ),
        "MRTransmitCoilSequence": made(
            TransmitCoilName="BODY", TransmitCoilManufacturerName="", TransmitCoilType="BODY"
        ),
        "MRAveragesSequence": made(NumberOfAverages=1),
        "MRImagingModifierSequence": made(
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=63.6,
            PixelBandwidth=200,
        ),
    }
