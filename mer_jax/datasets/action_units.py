"""The action units of the Facial Action Coding System as annotators write them.

    4+7   L12A   (R6 or R12)+R15   14or23   R14A or 17A or 24A   10A/B   A/L12   ref(7B)+43   12(k)

A letter before the number is the side (L, R left or right; T, B upper or lower lip; A
asymmetric), one after it the intensity (A to E); "/" and "or" part alternatives; "?" is unclear;
"ref" marks a unit that the reference frame has already; "(k)" (4DME) one that does not
move. (Key of SAMM's sheet; Ekman, Friesen & Hager, Facial Action Coding System, 2002.)
"""

import re
from typing import NamedTuple

_UNIT = re.compile(
    r"(?P<side>[ALRTB](?:/[ALRTB])?)?\s*(?:A[UD])?\s*0*(?P<number>[1-9]\d?)\s*"
    r"(?P<intensity>[A-E](?:/[A-E])?)?(?P<after>[LR])?\s*(?P<doubt>\?)?",
    re.I,
)

_OR = re.compile(r"\s+or\s+|(?<=[0-9A-E?])or(?=[ALRTB]?\d)|/", re.I)


class ActionUnit(NamedTuple):
    """One unit of the Facial Action Coding System, as a database writes it."""

    number: int
    side: str = ""  # "L", "R", "T", "B", "A", or two of them: "A/L"
    intensity: str = ""  # "A" to "E", or "A/B"
    remark: str = ""  # "or", "?", "ref", "static": why it is not simply there


def action_units(text: str) -> tuple[ActionUnit, ...]:
    """The units named in `text`, in its order. What is no unit is left out: see `unread`."""
    return _parse(text)[0]


def unread(text: str) -> tuple[str, ...]:
    """The pieces of `text` that name no action unit ('soft focus'); '?' alone is none."""
    return _parse(text)[1]


def note_of_unread(text: str) -> str:
    """A sentence on the pieces that `unread` finds; "" where there is none."""
    pieces = ", ".join(map(repr, unread(text)))
    return f"in the action units {text!r}, {pieces} was ignored" if pieces else ""


def numbers(text: str) -> frozenset[int]:
    """The distinct units that move or may move: all but the static ones."""
    return frozenset(unit.number for unit in action_units(text) if unit.remark != "static")


def _parse(text: str) -> tuple[tuple[ActionUnit, ...], tuple[str, ...]]:
    units, rest = [], []
    for piece in re.split(r"[+,;&]", text):
        static = re.search(r"\(\s*k\s*\)", piece, re.I)
        bare = re.sub(r"\(\s*k\s*\)", "", piece, flags=re.I)
        reference = re.match(r"\s*ref\b", bare, re.I)
        bare = re.sub(r"^\s*ref\b|[()]", " ", bare, flags=re.I).strip()
        options = [bare] if _UNIT.fullmatch(bare) else _OR.split(bare)
        for option in options:
            match = _UNIT.fullmatch(option.strip())
            if not match:
                rest += [option.strip()] if option.strip(" ?") else []
                continue
            remark = "static" if static else "ref" if reference else ""
            remark = remark or ("or" if len(options) > 1 else "?" if match["doubt"] else "")
            side = (match["side"] or match["after"] or "").upper()
            units.append(
                ActionUnit(int(match["number"]), side, (match["intensity"] or "").upper(), remark)
            )
    return tuple(units), tuple(rest)
