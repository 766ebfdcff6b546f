"""Blocs of countries. No maintained package under a licence that we can use has them, so they are ours, each with its day.

Members are states; a bloc's own territories with a code of their own follow where its treaty says that it applies to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sublet.core.residency.lists.codes import codes
from sublet.core.residency.values import Source


@dataclass(frozen=True, slots=True)
class Bloc:
    """Countries that one name stands for."""

    title: str
    members: frozenset[str]  # ISO 3166-1 alpha-2
    source: Source


EU_STATES = codes("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK")
EU_TERRITORIES = codes("AX GF GP MF MQ RE YT")
"""Åland and the outermost regions of France: the treaties, and with them the regulations, apply there."""
EU = EU_STATES | EU_TERRITORIES
EEA = EU | codes("IS LI NO")
FIVE_EYES = codes("AU CA GB NZ US")
NINE_EYES = FIVE_EYES | codes("DK FR NL NO")
_NATO = "AL BE BG CA CZ DE DK EE ES FI FR GB GR HR HU IS IT LT LU LV ME MK NL NO PL PT RO SE SI SK TR US"
_OECD = "AT AU BE CA CH CL CO CR CZ DE DK EE ES FI FR GB GR HU IE IL IS IT JP KR LT LU LV MX NL NO NZ PL PT SE SI SK TR US"
_SCHENGEN = "AT BE BG CH CZ DE DK EE ES FI FR GR HR HU IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
_EURO = "AT BE BG CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK"

BLOCS: Mapping[str, Bloc] = {
    "EU": Bloc(
        "European Union",
        EU,
        Source("Treaty on European Union, Art. 52, and TFEU, Art. 355", "https://european-union.europa.eu/", "2026-01-01"),
    ),
    "EEA": Bloc(
        "European Economic Area",
        EEA,
        Source("Agreement on the European Economic Area, Art. 126", "https://www.efta.int/eea", "2026-01-01"),
    ),
    "EFTA": Bloc(
        "European Free Trade Association",
        codes("CH IS LI NO"),
        Source("EFTA Convention", "https://www.efta.int/", "2026-01-01"),
    ),
    "SCHENGEN": Bloc(
        "Schengen area",
        codes(_SCHENGEN),
        Source("Schengen acquis; Bulgaria and Romania since 2025-01-01", "https://home-affairs.ec.europa.eu/", "2026-01-01"),
    ),
    "EUROZONE": Bloc(
        "Euro area",
        codes(_EURO),
        Source("TFEU, Art. 140; Bulgaria since 2026-01-01", "https://www.ecb.europa.eu/euro/", "2026-01-01"),
    ),
    "DACH": Bloc("Germany, Austria, Switzerland", codes("AT CH DE"), Source("common usage", "", "2026-01-01")),
    "NORDICS": Bloc(
        "Nordic Council",
        codes("AX DK FI FO GL IS NO SE"),
        Source("Helsinki Treaty of 1962", "https://www.norden.org/", "2026-01-01"),
    ),
    "BENELUX": Bloc(
        "Benelux Union", codes("BE LU NL"), Source("Benelux Treaty of 2008", "https://www.benelux.int/", "2026-01-01")
    ),
    "FIVE-EYES": Bloc(
        "Five Eyes",
        FIVE_EYES,
        Source(
            "UKUSA Agreement",
            "https://www.nsa.gov/Helpful-Links/NSA-FOIA/Declassification-Transparency-Initiatives/",
            "2010-06-24",
        ),
    ),
    "NINE-EYES": Bloc(
        "Nine Eyes",
        NINE_EYES,
        Source(
            "press reports of documents of 2013; no treaty is public",
            "https://www.theguardian.com/world/2013/nov/02/nsa-portrait-total-surveillance",
            "2013-11-02",
        ),
    ),
    "FOURTEEN-EYES": Bloc(
        "Fourteen Eyes (SIGINT Seniors Europe)",
        NINE_EYES | codes("BE DE ES IT SE"),
        Source(
            "press reports of documents of 2013; no treaty is public",
            "https://www.theguardian.com/world/2013/nov/02/nsa-portrait-total-surveillance",
            "2013-11-02",
        ),
    ),
    "NATO": Bloc(
        "NATO", codes(_NATO), Source("North Atlantic Treaty; Sweden since 2024-03-07", "https://www.nato.int/", "2026-01-01")
    ),
    "OECD": Bloc(
        "OECD", codes(_OECD), Source("OECD Convention; Costa Rica since 2021-05-25", "https://www.oecd.org/", "2026-01-01")
    ),
    "G7": Bloc("Group of Seven", codes("CA DE FR GB IT JP US"), Source("common usage", "", "2026-01-01")),
    "USMCA": Bloc(
        "USMCA", codes("CA MX US"), Source("USMCA, in force since 2020-07-01", "https://ustr.gov/usmca", "2026-01-01")
    ),
    "MERCOSUR": Bloc(
        "Mercosur, full members",
        codes("AR BO BR PY UY"),
        Source(
            "Treaty of Asunción; Bolivia since 2024-07-08; Venezuela is suspended", "https://www.mercosur.int/", "2026-01-01"
        ),
    ),
    "GCC": Bloc(
        "Gulf Cooperation Council",
        codes("AE BH KW OM QA SA"),
        Source("Charter of the GCC", "https://www.gcc-sg.org/", "2026-01-01"),
    ),
    "ASEAN": Bloc(
        "ASEAN",
        codes("BN ID KH LA MM MY PH SG TH TL VN"),
        Source("ASEAN Charter; Timor-Leste since 2025-10-26", "https://asean.org/", "2026-01-01"),
    ),
    "ANZ": Bloc("Australia and New Zealand", codes("AU NZ"), Source("common usage", "", "2026-01-01")),
}
"""By name, in capitals. A new bloc is one row."""
