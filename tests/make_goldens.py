"""Stores what the PyTorch twins of the networks say: python -m tests.make_goldens (needs torch)."""

import pathlib

import numpy as np

from tests.twins.cases import GOLDEN, answers_of_twin, summary

FILE = pathlib.Path(__file__).parent / "golden" / "networks.npz"


def main():
    stored = {}
    for case in GOLDEN:
        output, names, products = summary(answers_of_twin(case))
        stored |= {f"{case}/output": output, f"{case}/names": names, f"{case}/products": products}
    np.savez_compressed(FILE, **stored)


if __name__ == "__main__":
    main()
