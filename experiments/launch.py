"""The absl launch of a job on CPU, GPU, TPU and clusters: `mer-jax run`, from a checkout.

    python -m experiments.launch --config=NAME|FILE --workdir=DIR [--config.KEY=VALUE ...]

`--help` lists the flags. With `--distributed`, several of these processes are one job.
"""

import sys

from mer_jax import cli

if __name__ == "__main__":
    cli.main(["run", *sys.argv[1:]])
