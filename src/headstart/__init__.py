"""headstart: adapt any pretrained model to your data, and learn honestly whether the transfer helped.

    import headstart as hs
    run = hs.fit("photos/")
    print(run.verdict)

Names are resolved when they are first used, so importing headstart loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "read": "headstart.data",
    "Dataset": "headstart.data",
    "Sound": "headstart.data",
    "Split": "headstart.data",
    "audit": "headstart.auditing",
    "Audit": "headstart.auditing",
    "fit": "headstart.fitting",
    "evaluate": "headstart.fitting",
    "rank": "headstart.ranking.rank",
    "Ranking": "headstart.ranking.result",
    "compare": "headstart.trials.compare",
    "advise": "headstart.advising.advise",
    "Advice": "headstart.advising.advise",
    "Comparison": "headstart.trials.compare",
    "augment": "headstart.augmenting",
    "load": "headstart.fitting",
    "load_record": "headstart.fitting",
    "resume": "headstart.fitting",
    "rerun": "headstart.fitting",
    "tune": "headstart.search",
    "layers": "headstart.depths",
    "Record": "headstart.performing",
    "load_model": "headstart.models",
    "ModelCard": "headstart.models.card",
    "Backbone": "headstart.models.backbone",
    "extract": "headstart.features.extract",
    "FeatureTable": "headstart.features.table",
    "Store": "headstart.store",
    "Probe": "headstart.approaches.probe",
    "FineTune": "headstart.approaches.finetune",
    "Scratch": "headstart.approaches.scratch",
    "Distill": "headstart.approaches.distill",
    "Classification": "headstart.tasks.classification",
    "Predictor": "headstart.predictor",
    "Prediction": "headstart.predictor",
    "Verdict": "headstart.evaluation.verdict",
    "verdict": "headstart.evaluation.verdict",
    "HeadstartError": "headstart.errors",
    "shift": "headstart.shift",
    "measure_shift": "headstart.comparing",
    "ShiftResult": "headstart.comparing",
}
_RENAMED = {"load_model": "load"}
__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from headstart import shift as shift
    from headstart.advising.advise import Advice as Advice
    from headstart.advising.advise import advise as advise
    from headstart.approaches.distill import Distill as Distill
    from headstart.approaches.finetune import FineTune as FineTune
    from headstart.approaches.probe import Probe as Probe
    from headstart.approaches.scratch import Scratch as Scratch
    from headstart.auditing import Audit as Audit
    from headstart.auditing import audit as audit
    from headstart.augmenting import augment as augment
    from headstart.comparing import ShiftResult as ShiftResult
    from headstart.comparing import measure_shift as measure_shift
    from headstart.data import Dataset as Dataset
    from headstart.data import Sound as Sound
    from headstart.data import Split as Split
    from headstart.data import read as read
    from headstart.depths import layers as layers
    from headstart.errors import HeadstartError as HeadstartError
    from headstart.evaluation.verdict import Verdict as Verdict
    from headstart.evaluation.verdict import verdict as verdict
    from headstart.features.extract import extract as extract
    from headstart.features.table import FeatureTable as FeatureTable
    from headstart.fitting import evaluate as evaluate
    from headstart.fitting import fit as fit
    from headstart.fitting import load as load
    from headstart.fitting import load_record as load_record
    from headstart.fitting import rerun as rerun
    from headstart.fitting import resume as resume
    from headstart.models import load as load_model  # noqa: F401
    from headstart.models.backbone import Backbone as Backbone
    from headstart.models.card import ModelCard as ModelCard
    from headstart.performing import Record as Record
    from headstart.predictor import Prediction as Prediction
    from headstart.predictor import Predictor as Predictor
    from headstart.ranking.rank import rank as rank
    from headstart.ranking.result import Ranking as Ranking
    from headstart.search import tune as tune
    from headstart.store import Store as Store
    from headstart.tasks.classification import Classification as Classification
    from headstart.trials.compare import Comparison as Comparison
    from headstart.trials.compare import compare as compare


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    module = importlib.import_module(_WHERE[name])
    value = module if _WHERE[name] == f"headstart.{name}" else getattr(module, _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
