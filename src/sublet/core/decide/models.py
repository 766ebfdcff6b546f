"""Names of GPU models: what providers write, in one spelling."""

import re

_MAKERS = re.compile(r"\b(nvidia|amd|tesla|geforce|quadro|hgx|dgx|intel)\b", re.IGNORECASE)
_BUILDS = re.compile(r"\b(sxm\d?|pcie|nvlink|nvl|mega|se|we|cc|high freq\.?|\(.*?\)|server)\b|\(.*?\)", re.IGNORECASE)
_MEMORY = re.compile(r"\b(\d+) ?gb?\b", re.IGNORECASE)


def plain(name: str) -> str:
    """`NVIDIA A100 80GB SXM4` as `A100-80GB`: maker and build left out, memory kept where it is part of the name."""
    text = _MAKERS.sub(" ", name.replace("-", " "))
    text = _BUILDS.sub(" ", text)
    memory = _MEMORY.search(text)
    text = _MEMORY.sub(" ", text)
    word = "-".join(text.split()).upper()
    return f"{word}-{memory[1]}GB" if memory and word in {"A100", "V100", "A800"} else word


def is_one(offered: str, wanted: str) -> bool:
    """Whether an offered model is the wanted one: `A100` takes each A100, `A100-80GB` only those of 80 GB."""
    return offered == wanted or (offered.startswith(f"{wanted}-") and offered[len(wanted) + 1 :].endswith("GB"))
