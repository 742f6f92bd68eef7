"""Stores what the PyTorch twins of the networks say: python -m tests.make_goldens (needs torch)."""

import pathlib

import numpy as np

from tests.twins.cases import CASES, answers_of_twin, summary

FILE = pathlib.Path(__file__).parent / "golden" / "networks.npz"


def main():
    stored = {}
    for case in CASES:
        for name, value in summary(answers_of_twin(case)).items():
            stored[f"{case}/{name}"] = value
    np.savez_compressed(FILE, **stored)


if __name__ == "__main__":
    main()
