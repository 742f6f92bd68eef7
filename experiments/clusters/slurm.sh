#!/bin/bash
# One job under Slurm: two nodes with four GPUs each, one process a GPU.
#
#   CONFIG=mer_jax/configs/default.py WORKDIR=runs/slurm sbatch experiments/clusters/slurm.sh
#
# WORKDIR lies on a file system that the nodes share. Two minutes before its time is up the job is
# asked to stop, saves, and puts itself in the queue again; so does a job that was pre-empted.
#SBATCH --job-name=mer_jax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
code=0
srun --kill-on-bad-exit=1 .venv/bin/python -m mer_jax.cli.run --distributed \
    --config="${CONFIG:-mer_jax/configs/default.py}" --workdir="${WORKDIR:-runs/slurm}" "$@" ||
    code=$?
if [ "$code" -eq 143 ]; then # asked to stop, and saved
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
