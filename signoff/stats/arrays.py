"""The types of the arrays that statistics are made of."""

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating[Any]]
"""Observations; NaN stands for one that is not there, where a docstring says that it may."""
Flags = npt.NDArray[np.bool_]
