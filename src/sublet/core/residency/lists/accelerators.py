"""Accelerators under US export control, and the countries whose companies need a licence for them.

ECCN 3A090 counts *total processing performance*: tera-operations a second of dense arithmetic times the length of its operands
in bits, the largest over all lengths; and *performance density*: that by the die's area in mm². 3A090.a: at least 4,800, or at
least 1,600 with a density of 5.92 or more. 3A090.b: at least 2,400 with 1.6 or more, or at least 1,600 with 3.2 or more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sublet.core.residency.lists.codes import codes
from sublet.core.residency.values import Source

SOURCE = Source(
    "15 CFR 742.6(a)(6)(iii) and 774, ECCN 3A090; BIS guidance on companies of Country Group D:5 and Macau",
    "https://www.ecfr.gov/current/title-15/subtitle-B/chapter-VII/subchapter-C",
    "2026-05-31",
)
ARMS_EMBARGOED = codes("AF BY CD CF CN CU CY ER ET HT IQ IR KP LB LY MM NI RU SD SO SS SY VE ZW")
"""Country Group D:5 (15 CFR 740, supplement 1); Cambodia left it on 2026-02-03. Read strictly: Cyprus is on it, too."""
LICENSED_SEATS = ARMS_EMBARGOED | {"MO", "HK"}
"""Seats of companies that need a licence: D:5 and Macau; Hong Kong counts as China (15 CFR 738, supplement 1)."""
EMBARGOED = codes("CU IR KP SY")
"""Country Group E: nothing is exported there, whatever it can do."""


@dataclass(frozen=True, slots=True)
class Chip:
    """What is published of an accelerator: tera-operations a second, dense, at an operand length, and its area of silicon."""

    tera_ops: float
    bits: int
    die_mm2: int
    by_letter: bool = False  # its maker was told that it needs a licence for China, whatever the thresholds say

    @property
    def performance(self) -> float:
        """Total processing performance."""
        return self.tera_ops * self.bits

    @property
    def eccn(self) -> str | None:
        """Its control number, "letter" where only a letter to its maker asks for a licence, or None."""
        density = self.performance / self.die_mm2
        if self.performance >= 4_800 or (self.performance >= 1_600 and density >= 5.92):
            return "3A090.a"
        if (self.performance >= 2_400 and density >= 1.6) or (self.performance >= 1_600 and density >= 3.2):
            return "3A090.b"
        return "letter" if self.by_letter else None


NOTHING_RUNS = "none"
NO_ACCELERATOR = codes("CPU CPU-SLOT NONE")
"""What pools without any accelerator call their slots, and what we say of a place that only keeps files."""

CHIPS: Mapping[str, Chip] = {
    "P100": Chip(21.2, 16, 610),
    "V100": Chip(125, 16, 815),
    "T4": Chip(65, 16, 545),
    "A2": Chip(18, 16, 200),
    "A10": Chip(125, 16, 628),
    "A10G": Chip(70, 16, 628),
    "A16": Chip(18, 16, 200),
    "A30": Chip(165, 16, 826),
    "A40": Chip(149.7, 16, 628),
    "A100": Chip(312, 16, 826),
    "A800": Chip(312, 16, 826),
    "L4": Chip(242, 8, 294),
    "L40": Chip(181, 16, 609),
    "L40S": Chip(362, 16, 609),
    "H20": Chip(296, 8, 814, by_letter=True),
    "H100": Chip(1979, 8, 814),
    "H200": Chip(1979, 8, 814),
    "H800": Chip(1979, 8, 814),
    "GH200": Chip(1979, 8, 814),
    "B100": Chip(3500, 8, 1600),
    "B200": Chip(4500, 8, 1600),
    "GB200": Chip(4500, 8, 1600),
    "B300": Chip(4500, 8, 1600),
    "GB300": Chip(4500, 8, 1600),
    "MI100": Chip(184.6, 16, 750),
    "MI210": Chip(181, 16, 724),
    "MI250": Chip(362.1, 16, 1448),
    "MI250X": Chip(383, 16, 1448),
    "MI300X": Chip(2614.9, 8, 920),
    "MI325X": Chip(2614.9, 8, 920),
    "MI355X": Chip(5033, 8, 936),
    "GAUDI2": Chip(865, 8, 826),
    "GAUDI3": Chip(1835, 8, 1600),
    "RTX-4090": Chip(330.3, 16, 609),
    "RTX-6000-ADA": Chip(364.2, 16, 609),
}
"""By model in capitals, as the makers' data sheets say. A model that is not here is unknown, and counts as controlled."""


def controlled(model: str | None) -> str | None:
    """The control number of a model, "unknown" where it is not listed; None: below the thresholds. `H100-80GB` is an `H100`."""
    if model is None:
        return "unknown"
    word = model.strip().upper().replace("_", "-").replace(" ", "-").removeprefix("NVIDIA-").removeprefix("AMD-")
    if word in NO_ACCELERATOR:
        return None
    longest_first = sorted(CHIPS, key=len, reverse=True)
    known = next((name for name in longest_first if word == name or word.startswith(f"{name}-")), None)
    return "unknown" if known is None else CHIPS[known].eccn
