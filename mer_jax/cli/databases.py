"""Prints where each database is obtained: how to apply, and the address.

    mer-jax databases [NAME...] [--json]

Example:

    mer-jax databases casme2 samm

Addresses and forms are those that the authors or the MEGC challenges print; "-": none was found.
What a database may be used for is in the agreement that is signed there. mer_jax contains no
database and downloads none.
"""

import json
from typing import NamedTuple

from absl import flags

from mer_jax.errors import unknown_name

_JSON = flags.DEFINE_bool("json", False, "Print JSON instead of text.")


class Source(NamedTuple):
    """Where a database is obtained."""

    name: str  # as --database and `load_recordings` take it
    title: str
    contents: str
    form: str  # how to apply for it
    address: str  # "-": none was found
    paper: str


_PAGE = "application on the page"
_ASK = "ask the authors of the paper"
_CASME = "http://casme.psych.ac.cn"
_SAMM = "http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php"

SOURCES = (
    Source(
        name="casme",
        title="CASME",
        contents="micro-expressions, 60 Hz",
        form=_PAGE,
        address=_CASME,
        paper="Yan et al., FG 2013",
    ),
    Source(
        name="casme2",
        title="CASME II",
        contents="micro-expressions, 200 Hz",
        form=_PAGE,
        address=_CASME,
        paper="Yan et al., PLoS ONE 9(1), 2014",
    ),
    Source(
        name="casme_squared",
        title="CAS(ME)^2",
        contents="long videos, micro and macro, 30 Hz",
        form="application form on the page, with a scan of the signed license agreement",
        address="http://casme.psych.ac.cn/casme/e3",
        paper="Qu et al., TAC 9(4), 2018",
    ),
    Source(
        name="casme3",
        title="CAS(ME)^3",
        contents="long videos with depth, micro and macro, 30 Hz",
        form=_PAGE,
        address="http://casme.psych.ac.cn/casme/e4",
        paper="Li et al., TPAMI 45(3), 2023",
    ),
    Source(
        name="smic",
        title="SMIC, SMIC-E",
        contents="micro-expressions, 100 Hz and 25 Hz",
        form=_PAGE,
        address="https://www.oulu.fi/cmvs/node/41319",
        paper="Li et al., FG 2013",
    ),
    Source(
        name="samm",
        title="SAMM",
        contents="micro-expressions, 200 Hz",
        form="license agreement on the page, sent to M.Yap@mmu.ac.uk",
        address=_SAMM,
        paper="Davison et al., TAC 9(1), 2018",
    ),
    Source(
        name="samm_lv",
        title="SAMM Long Videos",
        contents="147 long videos, micro and macro, 200 Hz",
        form="as SAMM, with the subject line 'SAMM long videos'",
        address=_SAMM,
        paper="Yap, Kendrick & Yap, FG 2020",
    ),
    Source(
        name="mmew",
        title="MMEW",
        contents="micro- and macro-expressions, 90 Hz",
        form="scan of the signed license agreement, sent to benxianyeye@163.com",
        address="http://www.dpailab.com/database.html",
        paper="Ben et al., TPAMI 44(9), 2022",
    ),
    Source(
        name="dfme",
        title="DFME",
        contents="micro-expressions, 200, 300 and 500 Hz",
        form=_ASK,
        address="https://mea-lab-421.github.io",
        paper="Zhao et al., TAC 15(3), 2024",
    ),
    Source(
        name="fourdme",
        title="4DME",
        contents="micro-expressions, 4D and video, 60 Hz",
        form=_ASK,
        address="-",
        paper="Li et al., TAC 14(4), 2023",
    ),
    Source(
        name="ck_plus",
        title="CK+",
        contents="posed expressions",
        form="agreement on the page",
        address="http://www.pitt.edu/~emotion/ck-spread.htm",
        paper="Lucey et al., CVPRW 2010",
    ),
    Source(
        name="mug",
        title="MUG",
        contents="posed expressions",
        form=_ASK,
        address="-",
        paper="Aifanti, Papachristou & Delopoulos, WIAMIS 2010",
    ),
    Source(
        name="oulu_casia",
        title="Oulu-CASIA",
        contents="posed expressions, visible and infrared",
        form=_ASK,
        address="-",
        paper="Zhao et al., Image and Vision Computing 29(9), 2011",
    ),
)


def main(argv: list[str]) -> None:
    """Prints the rows of the databases that `argv` names, or of all."""
    by_name = {source.name: source for source in SOURCES}
    for name in argv[1:]:
        if name not in by_name:
            raise unknown_name("database", name, by_name)
    chosen = [by_name[name] for name in argv[1:]] or list(SOURCES)
    if _JSON.value:
        print(json.dumps([source._asdict() for source in chosen], indent=1))
        return
    header = ("name", "database", "contents", "address")
    rows = [header, *((s.name, s.title, s.contents, s.address) for s in chosen)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip())
    print()
    for source in chosen:
        print(f"{source.name}: {source.form}. {source.paper}")
