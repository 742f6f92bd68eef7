import numpy as np

from mer_jax.faces import contact_sheet


def test_a_strip_is_the_first_the_middle_and_the_last_frame():
    frames = np.arange(7, dtype=np.uint8)[:, None, None, None] * 30 + np.zeros((7, 44, 33, 1))
    strip = contact_sheet.strip(frames.astype(np.uint8))
    assert strip.shape == (88, 198, 3)
    assert [int(strip[40, x, 0]) for x in (30, 99, 165)] == [0, 90, 180]


def test_each_strip_stands_once_below_its_name_on_pages_of_120():
    strips = [np.full((88, 50, 3), 40 + number, np.uint8) for number in range(130)]
    sheets = list(contact_sheet.pages(strips, [f"clip {n} é" for n in range(130)]))
    assert [sheet.shape[0] for sheet in sheets] == [24 * 108 + 6, 2 * 108 + 6]
    for number in range(130):
        sheet, index = sheets[number // 120], number % 120
        top, left = 6 + index // 5 * 108 + 14, 6 + index % 5 * 56
        assert (sheet[top : top + 88, left : left + 50] == 40 + number).all()
        assert (sheet[top - 14 : top, left : left + 50] < 200).any()  # the name
