"""Fit the curve from a raw score to the log-odds that two photographs show one individual."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animalclef.decision import Calibrator, shaped

__all__ = ["fit_calibrator"]


def fit_calibrator(score: NDArray[np.generic], same: NDArray[np.bool_], *, log: bool) -> Calibrator:
    """Platt's logistic curve, fitted on shortlist pairs; `same` says which pairs show one individual.

    The slope is never negative: likeness cannot speak against identity. With one class only, or a constant score, the
    curve is flat at the smoothed share of positives.
    """
    values = shaped(score, log=log)
    usable = np.isfinite(values)
    values, same = values[usable], same[usable]
    share = (same.sum() + 1) / (len(same) + 2)
    mean, spread = (float(values.mean()), float(values.std())) if len(values) else (0.0, 0.0)
    prior = float(np.log(share / (1 - share)))
    flat = Calibrator(log=log, mean=mean, spread=max(spread, 1e-6), slope=0.0, intercept=prior)
    if spread < 1e-9 or same.all() or not same.any():
        return flat
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0).fit(((values - mean) / spread)[:, None], same)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Calibrator(log=log, mean=mean, spread=spread, slope=slope, intercept=intercept) if slope > 0 else flat
