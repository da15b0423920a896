"""Projection and reconstruction: what the noise models of tomography stand on."""
