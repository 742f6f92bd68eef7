"""The names of clips and recordings, and how names of different sources are compared."""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Iterable

from mer_jax.errors import Problem, UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Keyed:
    """The names of a clip or a recording, which make up its key.

    Raises `UserError` for an empty one, and for a "/" in `database` or `subject`.
    """

    database: str
    subject: str
    name: str

    def __post_init__(self):
        kind = type(self).__name__.lower()
        for field in ("database", "subject", "name"):
            text = getattr(self, field)
            slash = "" if field == "name" else ' without "/", which separates the parts of its key'
            if not isinstance(text, str) or not text or (slash and "/" in text):
                raise UserError(f"a {kind}'s {field} is {text!r}; it must be text{slash}")

    @property
    def key(self) -> str:
        """'database/subject/name', unique in a job."""
        return f"{self.database}/{self.subject}/{self.name}"

    @property
    def subject_key(self) -> str:
        """'database/subject', unique over databases."""
        return f"{self.database}/{self.subject}"


def normalize_key(key: str) -> str:
    """A key, or a part of one, for comparisons: lower case, numbers without leading zeros.

    Blanks at the ends of its parts do not count.

    >>> normalize_key("SAMM/006 /006_1_2")
    'samm/6/6_1_2'
    """
    parts = "/".join(part.strip() for part in composed(key).split("/"))
    return re.sub(r"(?<!\d)0+(?=\d)", "", parts.casefold())


def composed(text: str) -> str:
    """Text in one form of Unicode: file systems write é as one character or as two.

    >>> composed("e\u0301") == "\u00e9"
    True
    """
    return unicodedata.normalize("NFC", text)


def folded(subject: str, name: str) -> tuple[str, str]:
    """A clip's key where upper and lower case are one: folders are copied between file systems."""
    return subject.casefold(), name.casefold()


# Databases of long videos whose subjects are those of a database of clips.
_SAME_SUBJECTS = {"samm_lv": "samm"}


def normalize_subject(subject: str) -> str:
    """A subject's key ("database/subject") in one spelling for long videos and clips.

    >>> normalize_subject("samm_lv/006"), normalize_subject("samm/6")
    ('samm/6', 'samm/6')
    """
    database, _, name = subject.partition("/")
    return normalize_key(f"{_SAME_SUBJECTS.get(database, database)}/{name}")


def ambiguous(items: Iterable[Keyed]) -> list[Problem]:
    """The problems of names of clips or recordings: subjects written in several ways, equal keys.

    >>> one, two = Keyed("mine", "01", "a"), Keyed("mine", "1", "b")
    >>> [str(problem)[:57] for problem in ambiguous([one, two, two])]
    ['mine/01 and mine/1: is one subject in several spellings, ', 'mine/1/b: occurs twice']
    """
    items, found = list(items), dict[str, dict[str, None]]()
    for key in dict.fromkeys(item.subject_key for item in items):
        found.setdefault(normalize_key(key), {})[key] = None
    what = "is one subject in several spellings, tested by folds that train on it; write one"
    problems = [
        Problem(" and ".join(map(_shown, keys)), what) for keys in found.values() if len(keys) > 1
    ]
    counts = collections.Counter(item.key for item in items)
    times = lambda count: "twice" if count == 2 else f"{count} times"
    return problems + [Problem(k, f"occurs {times(n)}") for k, n in counts.items() if n > 1]


def _shown(key: str) -> str:
    """A key, quoted where blanks at its end would not be seen."""
    return key if key == key.strip() else repr(key)
