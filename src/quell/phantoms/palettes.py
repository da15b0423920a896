"""What tissues are worth in an image: CT numbers, or a random MR weighting."""

from __future__ import annotations

import numpy as np

Palette = dict[str, float]


def ct_palette(rng: np.random.Generator) -> Palette:
    """Draw tissue values in HU/1000, with or without contrast agent.

    The means are the usual CT numbers (Bushberg et al., The Essential Physics of Medical Imaging,
    3rd ed., ch. 10): fat -100, water 0, muscle 50, liver 60, blood 45, trabecular bone 100 to 300,
    cortical bone 500 to 1300 HU.
    """
    agent = float(rng.choice([0.0, 0.1, 0.2, 0.35])) * rng.uniform(0.6, 1.2)
    n = rng.normal
    return {
        "air": -1.0,
        "fat": -0.1 + n(0, 0.012),
        "muscle": 0.055 + n(0, 0.012) + 0.05 * agent,
        "skin": 0.04 + n(0, 0.03),
        "lung": rng.uniform(-0.92, -0.7),
        "blood": 0.045 + agent,
        "liver": 0.06 + 0.3 * agent + n(0, 0.015),
        "spleen": 0.05 + 0.35 * agent + n(0, 0.015),
        "kidney": 0.035 + 0.6 * agent,
        "pulp": 0.03 + 0.3 * agent,
        "bowel": 0.035 + 0.1 * agent + n(0, 0.015),
        "content": float(rng.choice([0.02, 0.05, -0.02, 0.3])),
        "fluid": 0.005 + n(0, 0.01),
        "cortex": rng.uniform(0.45, 1.3),
        "marrow": rng.uniform(0.08, 0.3),
        "disc": 0.09,
        "gas": rng.uniform(-1.0, -0.85),
    }


def mr_palette(rng: np.random.Generator) -> Palette:
    """Draw tissue values of a random MR weighting, air at 0 and bright tissue near 1."""
    names = ("fat", "skin", "blood", "spleen", "kidney", "pulp", "bowel", "content", "fluid", "disc")
    values = {name: float(rng.uniform(0.12, 1.0)) for name in names}
    values["muscle"] = float(rng.uniform(0.12, 0.6))
    values["liver"] = float(np.clip(values["muscle"] + rng.normal(0, 0.15), 0.08, 1))
    values["fat"] = float(rng.uniform(0.6, 1.1) if rng.random() < 0.6 else rng.uniform(0.05, 0.2))
    values["marrow"] = values["fat"] * float(rng.uniform(0.5, 0.9))
    dark = {"air": 0.0, "gas": 0.0, "lung": rng.uniform(0.01, 0.08), "cortex": rng.uniform(0.0, 0.1)}
    return values | dark
