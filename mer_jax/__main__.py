"""`python -m mer_jax COMMAND ...`: what the console script `mer-jax` runs."""

from mer_jax import cli

if __name__ == "__main__":
    cli.main()
