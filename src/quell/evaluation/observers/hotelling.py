"""The channelized Hotelling observer: the best linear reader of a few channels, and what it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.observers.channels import Channels
from quell.evaluation.observers.scores import Array, IntArray, Scores
from quell.evaluation.observers.splits import Split, check_pairs, parts


@dataclass(frozen=True)
class InternalNoise:
    """The noise that a human reader adds, which makes two readings of one image differ.

    Attributes
    ----------
    factor : float
        Variance that is added, over that which the images cause; 0 for none.
    where : str
        ``"channels"``: to the response of each channel, in proportion to its variance (Abbey & Barrett
        2001), which also changes the template. ``"decision"``: to the score (Zhang, Pham & Eckstein,
        Med. Phys. 34:3312, 2007), which lowers d' by ``sqrt(1 + factor)``.
    level : float
        Standard deviation, in the units of the image, of white noise on every pixel that the reader adds
        whatever the image (equivalent input noise; Ahumada, J. Opt. Soc. Am. A 4:2372, 1987). It does not
        fall with the noise of the image, so that contrast that a filter takes away is lost to the reader;
        without it a Hotelling observer undoes every filter that can be undone.
    """

    factor: float = 0.0
    where: Literal["channels", "decision"] = "channels"
    level: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.factor < math.inf and 0 <= self.level < math.inf):
            raise ValueError(f"internal noise must not be negative, got {self.factor:g} and {self.level:g}")

    def covariance(self, responses: Array, gram: Array) -> Array:
        """Return the covariance that is added to that of the channels' responses.

        Parameters
        ----------
        responses : ndarray, shape (channels, channels)
            Covariance that the images cause.
        gram : ndarray, shape (channels, channels)
            Products of the channels with each other.
        """
        proportional = self.factor * np.diag(np.diag(responses)) if self.where == "channels" else 0.0
        return np.asarray(proportional + self.level**2 * gram, np.float64)


class Template(NamedTuple):
    """A linear observer of channels: the score is ``(response - middle) @ weights``.

    Attributes
    ----------
    weights : ndarray, shape (channels,)
        Scaled so that scores have unit variance over the images that trained it.
    middle : ndarray, shape (channels,)
        Half way between the mean responses with and without the signal.
    jitter : float
        Standard deviation of what internal noise adds to a score.
    """

    weights: Array
    middle: Array
    jitter: float = 0.0


@dataclass(frozen=True, eq=False)
class Observation:
    """What an observer made of an ensemble.

    Attributes
    ----------
    scores : Scores
        Of every image that tested it.
    template : ndarray, shape (rows, columns)
        What it looks for, from all images; in the channels' span for a channelized observer.
    present, absent : ndarray, shape (n, channels)
        Responses of the channels; empty for an observer without.
    kind : str
        Of the observer, with its channels.
    split : Split
    training_pairs : int
        Pairs that trained it, in each part.
    """

    scores: Scores
    template: Array
    present: Array
    absent: Array
    kind: str
    split: Split
    training_pairs: int


def channelized_hotelling_observer(
    present: npt.ArrayLike,
    absent: npt.ArrayLike,
    channels: Channels,
    *,
    split: Split | None = None,
    internal_noise: InternalNoise | None = None,
    rng: np.random.Generator | None = None,
    groups: IntArray | None = None,
) -> Observation:
    """Let the best linear observer of channels detect a signal at a known place.

    ``w = K^-1 (mean(present) - mean(absent))`` of the channels' responses, K the mean of their
    covariances with and without the signal (Barrett, Yao, Rolland & Myers, PNAS 90:9758, 1993; Barrett
    & Myers 2004, ch. 13). Each image is scored by an observer that did not learn from it, relative to
    the middle of what that one learned and in its units of standard deviation, so that the scores of
    all parts are on one scale.

    Parameters
    ----------
    present, absent : ndarray, shape (n, rows, columns)
        Regions with the signal in the middle, and without it; as many of each.
    channels : Channels
    split : Split, optional
        Leave-one-out by default.
    internal_noise : InternalNoise, optional
        None by default.
    rng : numpy.random.Generator, optional
        Needed for internal noise only.
    groups : ndarray of int, shape (n,), optional
        Which regions come from one image, the same for both; they train or test together.

    Raises
    ------
    QuellError
        If there are too few pairs (the message says how many are needed), shapes do not fit, or values
        are not finite.
    ValueError
        If internal noise is asked for without a generator.
    """
    split, noise = split or Split(), internal_noise or InternalNoise()
    if (noise.factor or noise.level) and rng is None:
        raise ValueError("internal noise needs a random generator")
    with_signal, without = channels.responses(present), channels.responses(absent)
    check_ensemble(with_signal, without, groups)
    check_pairs(len(with_signal), len(channels), split)
    reader = _Reader(noise, channels.matrix.T @ channels.matrix, rng)
    scores, training = _cross_validated(with_signal, without, split, reader, groups)
    template = channels.matrix @ reader.trained(with_signal, without).weights
    plane = template.reshape(channels.weights.shape[1:])
    kind = f"channelized Hotelling, {len(channels)} {channels.kind} channels"
    return Observation(scores, plane, with_signal, without, kind, split, training)


def check_ensemble(present: Array, absent: Array, groups: IntArray | None) -> None:
    """Raise QuellError unless there are as many images with as without the signal, alike in shape."""
    if present.shape != absent.shape:
        raise QuellError(
            f"the observer needs as many images without the signal as with it, of one shape; got "
            f"{present.shape} and {absent.shape}"
        )
    if groups is not None and len(groups) != len(present):
        raise QuellError(f"got {len(groups)} group numbers for {len(present)} pairs")


def hotelling_template(present: Array, absent: Array, internal: Array | None = None) -> Template:
    """Train a Hotelling observer on responses of channels.

    Parameters
    ----------
    present, absent : ndarray, shape (n, channels)
    internal : ndarray, shape (channels, channels), optional
        Covariance of internal noise, which is added to that of the responses.

    Raises
    ------
    QuellError
        If a channel does not vary.
    """
    first, second = present.mean(axis=0), absent.mean(axis=0)
    total = response_covariance(present, absent)
    if internal is not None:
        total = total + internal
    weights = _solve(total, first - second)
    spread = math.sqrt(max(float(weights @ total @ weights), 0.0))
    # No difference at all gives no template; its scores are 0 and its area one half.
    weights = weights / spread if spread > 0 else weights
    added = 0.0 if internal is None else float(weights @ internal @ weights)
    return Template(weights, (first + second) / 2, math.sqrt(max(added, 0.0)))


def response_covariance(present: Array, absent: Array) -> Array:
    """Return the mean of the covariances of the responses with and without the signal."""
    return np.asarray((np.atleast_2d(np.cov(present.T)) + np.atleast_2d(np.cov(absent.T))) / 2)


def _solve(covariance: Array, difference: Array) -> Array:
    """Solve ``K w = d``, with the channels brought to one scale first."""
    scale = np.sqrt(np.diag(covariance))
    if not (scale > 0).all():
        raise QuellError("the images do not vary in some channel: the observer needs noise")
    correlation = covariance / np.outer(scale, scale)
    # Wide channels in a small region can be all but the same: they are then one channel.
    inverse = np.linalg.pinv(correlation, rcond=1e-10, hermitian=True)
    return np.asarray(inverse @ (difference / scale) / scale)


class _Reader(NamedTuple):
    """What an observer adds to what its channels tell it."""

    noise: InternalNoise
    gram: Array
    rng: np.random.Generator | None

    def trained(self, present: Array, absent: Array) -> Template:
        internal = self.noise.covariance(response_covariance(present, absent), self.gram)
        return hotelling_template(present, absent, internal)

    def scores(self, template: Template, responses: Array) -> Array:
        """Score responses; a linear observer sees noise of its channels as noise of the score."""
        seen = (responses - template.middle) @ template.weights
        decision = self.noise.factor if self.noise.where == "decision" else 0.0
        jitter = math.sqrt(template.jitter**2 + decision)
        if jitter == 0 or self.rng is None:
            return np.asarray(seen)
        return np.asarray(seen + jitter * self.rng.standard_normal(len(seen)))


def _cross_validated(
    present: Array, absent: Array, split: Split, reader: _Reader, groups: IntArray | None
) -> tuple[Scores, int]:
    """Score every image that tests, and return how many pairs trained (the fewest of all parts)."""
    n = len(present)
    tested = np.zeros(n, np.bool_)
    first, second = np.zeros(n), np.zeros(n)
    fewest = n
    for part in parts(split, n, groups):
        template = reader.trained(present[part.train], absent[part.train])
        first[part.test] = reader.scores(template, present[part.test])
        second[part.test] = reader.scores(template, absent[part.test])
        tested[part.test], fewest = True, min(fewest, len(part.train))
    kept = None if groups is None else np.asarray(groups)[tested]
    return Scores(first[tested], second[tested], kept), fewest
