"""The models, by name: networks, and the support vector machine of the handcrafted baselines.

A network is an `nnx.Module`, built from sizes only. `network(x, *, mask=None)` takes float32
examples [B, ...] (channels last; a dict of arrays for a network with several inputs) and returns
logits [B, K]; the class of a network of spotting says what its outputs are. `mask` [B] is 0 for
padding samples, which batch statistics leave out. `network.input_shape` is the shape of one
example, without B (for several inputs, a dict of them).

An estimator is a classifier in scikit-learn's sense, fitted fold by fold by `training.estimators`.
`package.module:Name` is a class of your own: a network, or an estimator if it has `fit` and
`predict_proba` (`sklearn.ensemble:RandomForestClassifier` is one).
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax import nnx

from mer_jax.errors import UserError, own_code
from mer_jax.options import check, check_value, defaults, find

Figure = tuple[int, ...] | int  # (first axes of) what a module gives, or its parameters


class Info(NamedTuple):
    """Where a model comes from, how it is fitted, and the numbers in its paper."""

    module: str  # where it is; ".strcn" is below this package
    name: str  # class in that module
    paper: str = ""
    parameters: int = 0  # trainable, counted by hand or by the authors' code; 0: not known
    classes: int = 3  # for which `parameters` holds
    stated: str = ""  # the number of parameters in the paper's words
    printed: Mapping[str, Figure] = {}  # what it prints of a module, by the module's dotted path
    estimator: bool = False  # fitted by its own `fit`; else a network, trained by `training.fit`

    def load(self) -> Callable[..., Any]:
        """The class; its module is imported now."""
        return getattr(importlib.import_module(self.module, __name__), self.name)


def _recurrent(*sizes: tuple[int, int]) -> dict[str, Figure]:
    """The maps that Table I of STRCN and Table 1 of MER-RCNN print, from the first layer on."""
    return dict(zip(("conv", *(f"layers.{n}" for n in range(4))), sizes))


_STREAMS = {
    path: figure
    for n in range(2)
    for path, figure in ((f"streams.{n}.conv", (27, 10, 10, 32)), (f"streams.{n}", (86_400,)))
}

_MODELS = {
    "strcn_a": Info(
        ".strcn", "STRCNA", "Xia et al., STRCN, Table I (appearance)", 171_076, classes=4,
        printed=_recurrent((917, 26), (229, 26), (57, 26), (14, 6), (7, 3)),
    ),
    "strcn_g": Info(
        ".strcn", "STRCNG", "Xia et al., STRCN, Table I (geometry)", 169_476, classes=4,
        printed=_recurrent((296, 241), (74, 60), (18, 15), (4, 3), (2, 1)),
    ),
    "mer_rcnn": Info(
        ".mer_rcnn", "MERRCNN", "Xia et al., MER-RCNN, Table 1", 171_076, classes=4,
        printed=_recurrent((1962, 26), (490, 26), (122, 26), (30, 6), (7, 3)),
    ),
    "psn": Info(
        ".psn", "PSN", "Li et al., PSN, Table 1", 29_077_832, classes=4,
        printed={"backbone": (4, 4, 256), "spatial_dense": (4096,), "mix": 1_028},
    ),
    "r3d_convlstm": Info(
        ".r3d_convlstm", "R3DConvLSTM", "Islam et al., R3D-ConvLSTM", 37_552_975,
        stated="about 37.6 million",
    ),
    "ststnet": Info(
        ".ststnet", "STSTNet", "Liong et al. 2019, STSTNet, authors' code", 1_683,
        stated="0.00167 million",
    ),
    "stcnn": Info(
        ".stcnn", "STCNN", "Reddy et al., MicroExpSTCNN, Table I", 44_241_667,
        printed={"stream.conv": (27, 20, 20, 32), "stream": (345_600,), "hidden": (128,)},
    ),
    "fusenet_intermediate": Info(
        ".fusenet", "FuseNetIntermediate", "Reddy et al., MicroExpFuseNet Intermediate, Table II",
        177_088_515, printed=_STREAMS | {"dense.0.layers.0": (1024,), "dense.0.layers.1": (128,)},
    ),
    "fusenet_late": Info(
        ".fusenet", "FuseNetLate", "Reddy et al., MicroExpFuseNet Late, Table III", 177_221_123,
        printed=_STREAMS
        | {f"dense.{n}.layers.{k}": (w,) for n in range(2) for k, w in enumerate((1024, 128))},
    ),
    "rcn_a": Info(".rcn", "RCNA", "Xia et al. 2020, RCN-A, authors' code", 15_331),
    "rcn_s": Info(".rcn", "RCNS", "Xia et al. 2020, RCN-S, authors' code", 15_331),
    "rcn_w": Info(".rcn", "RCNW", "Xia et al. 2020, RCN-W, authors' code", 13_795),
    "off_apexnet": Info(
        ".off_apexnet", "OFFApexNet", "Gan et al. 2019, OFF-ApexNet", 2_664_475,
        stated="2.77 million",
    ),
    "dual_inception": Info(
        ".dual_inception", "DualInception", "Zhou et al. 2019, Dual-Inception", 6_449_867,
        stated="6.45 million",
    ),
    "capsule": Info(
        ".capsule", "CapsuleNet", "Van Quang et al. 2019, CapsuleNet, authors' code", 13_842_496
    ),
    "image_cnn": Info(
        ".vgg", "ImageCNN", "Xia et al., STRCN, Table II (image-based CNN)", 134_276_932, classes=4
    ),
    "htnet": Info(
        ".htnet", "HTNet", "Wang et al. 2024, HTNet, authors' code", 117_387_782,
        stated="139,582,982 with queries and keys",
    ),
    "mmnet": Info(".mmnet", "MMNet", "Li et al. 2022, MMNet, authors' code", 9_438_841, classes=5),
    "bdcnn": Info(".bdcnn", "BDCNN", "Chen et al. 2022, BDCNN, authors' code", 10_881_251),
    "skd_tstsan": Info(
        ".skd_tstsan", "SKDTSTSAN", "Zhu et al. 2024, SKD-TSTSAN, authors' code", 1_609_288,
        classes=5, stated="2,946,214 with self-distillation and biases before normalizations",
    ),
    "fg_au_fusion": Info(
        ".fg_au_fusion", "FGAUFusion", "Lei et al. 2021, FG-AU-Fusion, authors' code", 666_508,
        stated="1,046,669 with five encoders a part that change nothing",
    ),
    "softnet": Info(
        ".softnet", "SOFTNet", "Liong et al. 2021, SOFTNet, authors' code", 314_817, classes=1
    ),
    "mean_spotting": Info(
        ".mean", "MEANSpotting", "Liong et al. 2023, MEAN (spotting), authors' code", 3_593,
        classes=1,
    ),
    "mean_recognition": Info(
        ".mean", "MEANRecognition", "Liong et al. 2023, MEAN (recognition), authors' code", 3_987
    ),
    "mtsn": Info(".mtsn", "MTSN", "Liong et al. 2022, MTSN, authors' code", 66_209, classes=1),
    "sfamnet": Info(
        ".sfamnet", "SFAMNet", "Liong et al. 2024, SFAMNet, authors' code", 7_207, classes=6
    ),
    "pem": Info(".pem", "PEM", "Leng et al. 2022, ABPN's PEM, authors' code", 28_416, classes=2700),
    "auw_gcn": Info(
        ".auw_gcn", "AUWGCN", "Yin et al. 2023, AUW-GCN, authors' code", 39_248, classes=2700
    ),
    "svm": Info(".svm", "SVM", "Cortes & Vapnik 1995, by scikit-learn", estimator=True),
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The names of all models, in alphabetical order."""
    return tuple(sorted(_MODELS))


def networks() -> tuple[str, ...]:
    """The names that `create` knows, in alphabetical order: the models that are no estimators.

    >>> from mer_jax import models
    >>> models.networks()[:3], set(models.names()) - set(models.networks())
    (('auw_gcn', 'bdcnn', 'capsule'), {'svm'})
    """
    return tuple(name for name in names() if not _MODELS[name].estimator)


def info(name: str) -> Info:
    """The entry of model `name`.

    Raises:
      UserError: for an unknown name, or a class of your own that cannot be imported.

    >>> from mer_jax import models
    >>> models.info("ststnet").paper
    "Liong et al. 2019, STSTNet, authors' code"
    >>> models.info("svm").estimator  # and of sklearn.naive_bayes:GaussianNB
    True
    """
    found = find("model", name, _MODELS)
    if isinstance(found, Info):
        return found
    module, _, attribute = name.partition(":")
    estimator = hasattr(found, "fit") and hasattr(found, "predict_proba")
    if not estimator and hasattr(found, "fit") and hasattr(found, "predict"):
        raise UserError(f"model {name} gives no probabilities (it has no predict_proba)")
    return Info(module, attribute, estimator=estimator)


def create(name: str, *, num_classes: int, rngs: nnx.Rngs, **sizes) -> nnx.Module:
    """Network `name` with fresh weights.

    Args:
      name: one of `networks()`, or `package.module:Name`.
      num_classes: K.
      rngs: random streams of the initializers and of dropout.
      **sizes: keyword arguments of the network's class: `shape`, the shape of one example without
        B (default: the paper's), and what else the class documents.

    Raises:
      UserError: for an unknown name or size, a shape that the network cannot take, or an estimator.

    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax import models
    >>> make = lambda: models.create("ststnet", num_classes=3, rngs=nnx.Rngs(0))
    >>> network = nnx.eval_shape(make)  # shapes only: no weight is drawn
    >>> network.input_shape, sum(a.size for a in jax.tree.leaves(nnx.state(network, nnx.Param)))
    ((28, 28, 3), 1683)
    >>> jax.eval_shape(lambda x: make()(x), jnp.zeros((8, 28, 28, 3))).shape
    (8, 3)
    """
    sizes = check("model", name, sizes, options(name) | {"shape": ()})
    num_classes = check_value("num_classes", "num_classes", num_classes)
    model = info(name)
    if model.estimator:
        raise UserError(f"model {name} is no network; the networks are {', '.join(networks())}")
    with own_code("model", name):
        return model.load()(num_classes=num_classes, rngs=rngs, **sizes)


def check_own_network(name: str) -> None:
    """Raises `UserError` for a class or function of the user's that makes no network."""
    made = info(name).load()
    parameters = inspect.signature(made.__init__ if inspect.isclass(made) else made).parameters
    lacking = [each for each in ("num_classes", "rngs") if each not in parameters]
    if lacking and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise UserError(
            f"model {name} takes no {' and no '.join(lacking)}; give an nnx.Module with "
            "num_classes, rngs and shape, or a class like scikit-learn's"
        )


def create_estimator(name: str, **given) -> Any:
    """Estimator `name`, not fitted yet.

    Args:
      name: "svm", or `package.module:Name`.
      **given: keyword arguments of its class.

    Returns:
      An object with scikit-learn's `fit`, `predict_proba`, `score` and `classes_`.

    Raises:
      UserError: for an unknown name or option, without the library that it needs, and where these
        options give no probabilities.
    """
    made = info(name).load()(**check("model", name, given, options(name)))
    if not hasattr(made, "predict_proba"):  # scikit-learn's classes have it, some objects do not
        raise UserError(
            f"model {name} gives no probabilities with these options; choose others, or model svm"
        )
    return made


def options(name: str) -> dict[str, Any]:
    """The sizes or options of model `name` and their defaults, without `shape`: the data give that.

    >>> from mer_jax import models
    >>> models.options("ststnet")
    {'maps': (3, 5, 8), 'dropout': 0.5}
    """
    return defaults(info(name).load(), without=("shape", "num_classes", "rngs"))
