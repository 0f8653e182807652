"""Carrying one face's landmarks from frame to frame: optical flow predicts, the regression trees correct.

A fixed-gain Kalman filter whose motion model is the measured flow: still heads give still points (the trees' noise
is averaged away), moving heads do not lag (flow already moved the points). Sources: Bouguet, Pyramidal Implementation
of the Lucas Kanade Feature Tracker, 2000; Kalal et al., Forward-Backward Error, ICPR 2010.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtoon.faces.landmarks import FACE, FacePose, cut_chip, fit_landmarks, plausible, transform
from vtoon.types import Landmarks

FLOW = {"winSize": (21, 21), "maxLevel": 3, "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02)}
RETURN_ERROR = 1.0  # chip px: a point that does not come back this near after flow forward and backward is lost
RIGID_ERROR = 3.0  # chip px, tolerance of RANSAC: faces deform, heads turn
RIGID_SHARE = 0.4  # of the points must move as one head for the flow to be believed
EYES = slice(36, 48)  # flow there follows the gaze, not the head: these points move with the rest
FREE_MOTION = 12.0  # chip px a point may leave the head's common motion (lips, brows); beyond it flow slipped

FIT_EVERY = 3  # frames from one look of the trees, which cost most, to the next, while they agree with the flow
AGREED = 0.05  # eye distances between the two, median of the points

# Gain of the correction: MIN_GAIN for the trees' own noise (0.01 eye distances), rising with the disagreement.
MIN_GAIN, MAX_GAIN, GAIN_SLOPE = 0.08, 0.6, 3.0
BELIEVED_SPREAD = 0.05  # eye distances: see Fit.spread
BELIEVED_JUMP = 0.35  # eye distances between flow and prediction: beyond it the trees slipped onto something else


class FaceFollower:
    """The landmarks of one face, [68, 2] px in `points`; `step` moves them to the next frame."""

    def __init__(self, gray: np.ndarray, points: np.ndarray) -> None:
        self.points = points
        self.pose = FacePose.of(points)
        self.chip = cut_chip(gray, self.pose)
        self._frames, self._agreed = 0, False  # since the trees looked, and what they said

    def step(self, gray: np.ndarray) -> bool:
        """Follow the face into the next uint8 [H, W] frame. False: it cannot be seen well, `points` are a guess."""
        chip = cut_chip(gray, self.pose)
        moved = self._flow(chip)
        self._frames += 1
        if moved is not None and self._agreed and self._frames < FIT_EVERY:
            self.points, self.chip = moved, chip
            return True
        return self._fit(gray, self.points if moved is None else moved)

    def _fit(self, gray: np.ndarray, guess: np.ndarray) -> bool:
        """Let the trees correct a guess."""
        fit = fit_landmarks(gray, FacePose.of(guess))
        eye_distance = max(Landmarks(guess).eye_distance, 1.0)
        gap = np.hypot(*(fit.points - guess).T) / eye_distance
        believed = fit.spread < BELIEVED_SPREAD and plausible(fit.points) and np.median(gap) < BELIEVED_JUMP
        if believed:
            gain = np.clip(MIN_GAIN + GAIN_SLOPE * gap, MIN_GAIN, MAX_GAIN)[:, None]
            guess = guess + gain * (fit.points - guess)
        self.points, self.pose, self.chip = guess, fit.pose, fit.chip
        self._frames, self._agreed = 0, bool(believed and np.median(gap) < AGREED)
        return bool(believed)

    def _flow(self, chip: np.ndarray) -> np.ndarray | None:
        """The points carried by optical flow to what lies under the chip now; None where too few of them move as one
        head."""
        start = transform(self.pose.to_chip, self.points).astype(np.float32)
        there, found, _ = cv2.calcOpticalFlowPyrLK(self.chip, chip, start[:, None], None, **FLOW)
        back, returned, _ = cv2.calcOpticalFlowPyrLK(chip, self.chip, there, None, **FLOW)
        there, back = there[:, 0], back[:, 0]
        good = (found & returned)[:, 0].astype(bool) & (np.hypot(*(back - start).T) < RETURN_ERROR)
        good[EYES] = False
        if good.sum() < RIGID_SHARE * len(start):
            return None
        rigid, inliers = cv2.estimateAffinePartial2D(start[good], there[good], ransacReprojThreshold=RIGID_ERROR)
        if rigid is None or inliers.sum() < RIGID_SHARE * len(start):
            return None
        common = transform(rigid, start)
        free = good & (np.hypot(*(there - common).T) < FREE_MOTION)
        points = np.where(free[:, None], there, common)
        if not 0.5 < np.ptp(points[:, 0]) / max(np.ptp(start[:, 0]), FACE / 8) < 2.0:
            return None
        return transform(cv2.invertAffineTransform(self.pose.to_chip), points.astype(np.float64))
