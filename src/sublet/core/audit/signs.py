"""What the name of a job gives away: words of frameworks, of people who wait, of models that answer, and of data to keep.

A name is split into words at everything that is no letter or digit and where letters turn into digits; a sign is a word, or
words in a row. Names are hints and never proofs: a label of the site's own always wins over them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

_WORDS = re.compile(r"[a-z]+|\d+")
_NUMBERS = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}(?=$|[^a-z0-9])|\d+", re.IGNORECASE)
SPACE = " "

SAVING: Mapping[str, str] = {
    "lightning": "PyTorch Lightning", "pl": "PyTorch Lightning", "deepspeed": "DeepSpeed", "megatron": "Megatron-LM",
    "nemo": "NeMo", "accelerate": "Accelerate", "axolotl": "Axolotl", "torchtune": "torchtune", "torchtitan": "TorchTitan",
    "trl": "TRL", "sft": "supervised fine-tuning", "dpo": "preference tuning", "lora": "LoRA tuning", "qlora": "LoRA tuning",
    "finetune": "fine-tuning", "fine tune": "fine-tuning", "pretrain": "pre-training", "maxtext": "MaxText", "keras": "Keras",
    "fairseq": "fairseq", "detectron": "Detectron", "mmdet": "MMDetection", "gromacs": "GROMACS", "gmx": "GROMACS",
    "namd": "NAMD", "lammps": "LAMMPS", "openmm": "OpenMM", "amber": "Amber", "ray train": "Ray Train",
    "checkpoint": "checkpoint", "ckpt": "checkpoint", "resume": "resume",
}  # fmt: skip
"""Frameworks and habits of work that saves checkpoints as a matter of course."""

WAITED_FOR: Mapping[str, str] = dict.fromkeys(
    ("jupyter", "jupyterlab", "notebook", "ipython", "interactive", "bash", "sh", "zsh", "srun", "vscode", "code server",
     "tunnel", "debug", "dbg", "shell", "tmux", "rstudio", "desktop", "vnc", "demo"),
    "a person sits before it",
)  # fmt: skip
"""Work that somebody waits for at a screen."""

ANSWERS: Mapping[str, str] = dict.fromkeys(
    ("infer", "inference", "generate", "generation", "embed", "embedding", "embeddings", "predict", "prediction", "score",
     "scoring", "vllm", "tgi", "sglang", "batch eval", "llm eval", "lm eval", "evalharness", "annotate", "synth", "synthetic",
     "distill data", "caption", "transcribe", "whisper", "translate"),
    "a model answers a list of questions",
)  # fmt: skip
"""Work that a batch API might do as well."""

KEPT: Mapping[str, str] = dict.fromkeys(
    ("patient", "patients", "clinical", "hospital", "phi", "pii", "hipaa", "gdpr", "ehr", "genome", "genomics", "confidential",
     "secret", "restricted", "classified", "itar", "payroll", "salary", "kyc", "aml", "fraud", "customer", "customers"),
    "a word for data that stays",
)  # fmt: skip
"""Words for data that must not leave without somebody having said so."""


@lru_cache(maxsize=65_536)
def pattern_of(name: str) -> str:
    """The name with what differs from run to run left out: numbers and long hexadecimal words become `#`."""
    return _NUMBERS.sub("#", name.strip())


@lru_cache(maxsize=65_536)
def found(name: str, signs: str) -> tuple[str, str] | None:
    """The first sign of a kind in a name, as (word, what it says); `signs`: saving, waited_for, answers or kept."""
    words = SPACE + SPACE.join(_WORDS.findall(name.lower())) + SPACE
    for word, says in KINDS[signs].items():
        if f" {word} " in words:
            return word, says
    return None


KINDS: Mapping[str, Mapping[str, str]] = {"saving": SAVING, "waited_for": WAITED_FOR, "answers": ANSWERS, "kept": KEPT}
"""Signs by kind."""
