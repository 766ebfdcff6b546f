"""Laws that reach an operator's data wherever it lies, by the country where the operator or its parent has its seat.

The list says where such a law is known. A country that is not on it is not thereby free of one: rules ask whether the country
of the operator is home, and name the law where they know it.
"""

from collections.abc import Mapping

from sublet.core.residency.values import Source

REACHING: Mapping[str, Source] = {
    "US": Source(
        "CLOUD Act, 18 U.S.C. 2713, and FISA, s. 702",
        "https://www.congress.gov/bill/115th-congress/house-bill/4943",
        "2018-03-23",
    ),
    "CN": Source("National Intelligence Law, Art. 7", "http://www.npc.gov.cn/", "2018-04-27"),
    "GB": Source("Investigatory Powers Act 2016, s. 253", "https://www.legislation.gov.uk/ukpga/2016/25", "2024-04-25"),
    "AU": Source(
        "Telecommunications Act 1997, Part 15 (TOLA Act 2018)", "https://www.legislation.gov.au/C2018A00148", "2018-12-09"
    ),
    "IN": Source("Information Technology Act 2000, s. 69 and 75", "https://www.indiacode.nic.in/", "2009-10-27"),
    "RU": Source("Federal Law 374-FZ", "http://pravo.gov.ru/", "2018-07-01"),
}
