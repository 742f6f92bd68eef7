"""The support vector machine that the papers' handcrafted baselines are classified by."""

from typing import Any

import numpy as np

from mer_jax.errors import UserError


class SVM:
    """scikit-learn's `SVC`: one machine a pair of classes, which vote (Cortes & Vapnik 1995).

    A classifier in scikit-learn's sense: `training.estimators` fits one on each fold. The papers'
    polynomial kernel of histograms, (0.22 x.y + 0)^2, is kernel="poly", degree=2, gamma=0.22,
    standardize=False.

    Args:
      kernel: "linear", "poly" (gamma x.y)^degree, "rbf" exp(-gamma |x - y|^2) or "sigmoid".
      C: penalty of a training clip on the wrong side of its margin; larger regularizes less.
      degree: of kernel "poly".
      gamma: of the kernels; 0: 1 / (D x variance).
      standardize: features to mean 0 and deviation 1 over the clips it is fitted on, constant ones
        to 0.
      balanced: C of a class is C M / (K' m), where m of the M training clips are of it.

    Raises:
      UserError: without scikit-learn (extra `baseline`).

    >>> import numpy as np
    >>> from mer_jax.models.svm import SVM
    >>> x = np.array([[0.0, 5.0], [1.0, 5.0], [4.0, 5.0], [5.0, 5.0]])  # [M, D]; one is constant
    >>> svm = SVM(kernel="linear", C=1.0).fit(x, np.array([0, 0, 2, 2]))
    >>> svm.classes_, svm.predict_proba(x).argmax(1)  # columns of classes_
    (array([0, 2]), array([0, 0, 1, 1]))
    """

    classes_: np.ndarray  # [K'] int: classes of the clips it was fitted on, ascending

    def __init__(
        self,
        *,
        kernel: str = "linear",
        C: float = 1.0,
        degree: int = 3,
        gamma: float = 0.0,
        standardize: bool = True,
        balanced: bool = False,
    ):
        try:
            from sklearn.svm import SVC
        except ImportError:
            raise UserError(
                "model svm needs scikit-learn; install it with pip install 'mer_jax[baseline]'"
            ) from None
        self._svc: Any = SVC(
            kernel=kernel,
            C=C,
            degree=degree,
            gamma=gamma or "scale",
            break_ties=True,
            class_weight="balanced" if balanced else None,
        )
        self._standardize = standardize

    def fit(self, x: np.ndarray, labels: np.ndarray) -> "SVM":
        """Fits the features' statistics and the classifier; returns itself.

        Args:
          x: [M, D] float64 features of the training clips.
          labels: [M] int, two classes or more.

        Raises:
          ValueError: scikit-learn's, for an option or for labels that it refuses.
        """
        x = np.asarray(x, np.float64)
        self._mean, deviation = x.mean(0) * self._standardize, x.std(0)
        # A feature that varies only in the last bits of a float32 is constant.
        varies = deviation > 1e-6 * np.abs(x).max(0)
        self._deviation = np.where(varies, deviation, np.inf) if self._standardize else 1.0
        self._svc.fit(self._standardized(x), labels)
        self.classes_ = self._svc.classes_
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """The softmax of the decision values: x [M, D] -> [M, K'], columns as in `classes_`.

        They rank the classes and are not calibrated. Of more than two classes they are the votes of
        the pairs, ties broken by their decisions (`decision_function_shape="ovr"`).

        Raises:
          NotFittedError: scikit-learn's, before `fit`.
        """
        decision = self._svc.decision_function(self._standardized(x))
        if decision.ndim == 1:  # of two classes; 0 stands for the first
            decision = np.stack([np.zeros_like(decision), decision], axis=1)
        powers = np.exp(decision - decision.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def score(self, x: np.ndarray, labels: np.ndarray) -> float:
        """The share of the clips x [M, D] whose predicted class is their label, in [0, 1]."""
        return self._svc.score(self._standardized(x), labels)

    def _standardized(self, x: np.ndarray) -> np.ndarray:
        from sklearn.exceptions import NotFittedError

        if not hasattr(self, "_mean"):
            raise NotFittedError("this SVM is not fitted yet; call fit first")
        return (np.asarray(x, np.float64) - self._mean) / self._deviation
