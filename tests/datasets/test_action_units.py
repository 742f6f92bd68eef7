"""The spellings of action units that published sheets contain."""

import pytest

from mer_jax.datasets.action_units import ActionUnit, action_units, numbers, unread


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("4", [(4,)]),
        ("4+7", [(4,), (7,)]),
        ("L12", [(12, "L")]),
        ("R6+R12", [(6, "R"), (12, "R")]),
        ("4+L10", [(4,), (10, "L")]),
        ("7B", [(7, "", "B")]),
        ("L12A", [(12, "L", "A")]),
        ("A12+A7", [(12, "A"), (7, "A")]),
        ("(R6 or R12)+R15", [(6, "R", "", "or"), (12, "R", "", "or"), (15, "R")]),
        (
            "R14A or 17A or 24A",
            [(14, "R", "A", "or"), (17, "", "A", "or"), (24, "", "A", "or")],
        ),
        ("14or23", [(14, "", "", "or"), (23, "", "", "or")]),
        ("10or11+4", [(10, "", "", "or"), (11, "", "", "or"), (4,)]),
        ("R14Aor17A", [(14, "R", "A", "or"), (17, "", "A", "or")]),
        ("AD38+4", [(38,), (4,)]),
        ("10A/B", [(10, "", "A/B")]),
        ("A/L12", [(12, "A/L")]),
        ("4/7", [(4, "", "", "or"), (7, "", "", "or")]),
        ("ref(7B)+43", [(7, "", "B", "ref"), (43,)]),
        ("T23", [(23, "T")]),
        ("R14+17+soft focus", [(14, "R"), (17,)]),
        ("AU1+AU 2", [(1,), (2,)]),
        ("4+12(k)", [(4,), (12, "", "", "static")]),
        ("12?", [(12, "", "", "?")]),
        ("?", []),
        ("", []),
    ],
)
def test_units(text, units):
    assert action_units(text) == tuple(ActionUnit(*unit) for unit in units)


def test_what_is_no_unit_is_named():
    assert unread("R14+17+soft focus") == ("soft focus",)
    assert unread("4+0+120") == ("0", "120")
    assert unread("4+?+7B") == ()
    assert unread("NULL") == ("NULL",) and unread("4+minor") == ("minor",)


def test_static_units_do_not_count():
    assert numbers("4+12(k)+4") == {4}
    assert numbers("(R6 or R12)+R15") == {6, 12, 15}
