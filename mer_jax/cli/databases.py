"""Prints where each database is obtained: the form, the address, the licence.

    mer-jax databases [NAME...] [--json]

Example:

    mer-jax databases casme2 samm

Addresses and forms are those that the authors or the MEGC challenges print; "-": none was found.
The license is the agreement that is signed there. mer_jax contains no database and downloads none.
"""

import json
from typing import NamedTuple

from absl import flags

from mer_jax.errors import unknown_name

_JSON = flags.DEFINE_bool("json", False, "Print JSON instead of text.")


class Source(NamedTuple):
    """Where a database is obtained."""

    name: str  # for --database, or load_recordings
    title: str
    contents: str
    form: str
    address: str
    license: str
    paper: str


_PAGE = "application on the page"
_RESEARCH = "license as in that agreement"
_ASK = "by its authors, of the paper"
_CASME = "application form on the page, with a scan of the signed license agreement"

SOURCES = (
    Source(
        *("casme", "CASME", "micro-expressions, 60 Hz", _PAGE, "http://casme.psych.ac.cn"),
        *(_RESEARCH, "Yan et al., FG 2013"),
    ),
    Source(
        *("casme2", "CASME II", "micro-expressions, 200 Hz", _PAGE, "http://casme.psych.ac.cn"),
        *(_RESEARCH, "Yan et al., PLoS ONE 9(1), 2014"),
    ),
    Source(
        *("casme_squared", "CAS(ME)^2", "long videos, micro and macro, 30 Hz", _CASME),
        *("http://casme.psych.ac.cn/casme/e3", _RESEARCH, "Qu et al., TAC 9(4), 2018"),
    ),
    Source(
        *("casme3", "CAS(ME)^3", "long videos with depth, micro and macro, 30 Hz", _PAGE),
        *("http://casme.psych.ac.cn/casme/e4", _RESEARCH, "Li et al., TPAMI 45(3), 2023"),
    ),
    Source(
        *("smic", "SMIC, SMIC-E", "micro-expressions, 100 Hz and 25 Hz", _PAGE),
        *("https://www.oulu.fi/cmvs/node/41319", _RESEARCH, "Li et al., FG 2013"),
    ),
    Source(
        *("samm", "SAMM", "micro-expressions, 200 Hz"),
        "license agreement form of the page, sent to M.Yap@mmu.ac.uk",
        *("http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php", _RESEARCH),
        "Davison et al., TAC 9(1), 2018",
    ),
    Source(
        *("samm_lv", "SAMM Long Videos", "147 long videos, micro and macro, 200 Hz"),
        "as SAMM, with the subject 'SAMM long videos'",
        *("http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php", _RESEARCH),
        "Yap, Kendrick & Yap, FG 2020",
    ),
    Source(
        *("mmew", "MMEW", "micro- and macro-expressions, 90 Hz"),
        "scan of the signed license agreement, sent to benxianyeye@163.com",
        *("http://www.dpailab.com/database.html", _RESEARCH, "Ben et al., TPAMI 44(9), 2022"),
    ),
    Source(
        *("dfme", "DFME", "micro-expressions, 200, 300 and 500 Hz", _ASK),
        *("https://mea-lab-421.github.io", _RESEARCH, "Zhao et al., TAC 15(3), 2024"),
    ),
    Source(
        *("fourdme", "4DME", "micro-expressions, 4D and video, 60 Hz", _ASK, "-", _RESEARCH),
        "Li et al., TAC 14(4), 2023",
    ),
    Source(
        *("ck_plus", "CK+", "posed expressions", "agreement of the page"),
        *("http://www.pitt.edu/~emotion/ck-spread.htm", _RESEARCH, "Lucey et al., CVPRW 2010"),
    ),
    Source(
        *("mug", "MUG", "posed expressions", _ASK, "-", _RESEARCH),
        "Aifanti, Papachristou & Delopoulos, WIAMIS 2010",
    ),
    Source(
        *("oulu_casia", "Oulu-CASIA", "posed expressions, visible and infrared", _ASK, "-"),
        *(_RESEARCH, "Zhao et al., Image and Vision Computing 29(9), 2011"),
    ),
)


def main(argv: list[str]) -> None:
    """Prints the rows of the databases that `argv` names, or all."""
    by_name = {source.name: source for source in SOURCES}
    for name in argv[1:]:
        if name not in by_name:
            raise unknown_name("database", name, by_name)
    chosen = [by_name[name] for name in argv[1:]] or list(SOURCES)
    if _JSON.value:
        print(json.dumps([source._asdict() for source in chosen], indent=1))
        return
    head = ("name", "database", "contents", "address")
    rows = [head, *((s.name, s.title, s.contents, s.address) for s in chosen)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip())
    print()
    for source in chosen:
        print(f"{source.name}: {source.form}; {source.license}. {source.paper}")
