#!/bin/bash
# One job under Slurm: two nodes with four GPUs each, one process per GPU.
#
#   CONFIG=default WORKDIR=runs/slurm sbatch experiments/clusters/slurm.sh
#
# WORKDIR is on a shared file system. Two minutes before its time limit the job receives SIGTERM,
# saves a checkpoint and requeues itself; so does a preempted job.
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
srun --kill-on-bad-exit=1 .venv/bin/python -m experiments.launch --distributed \
    --config="${CONFIG:-default}" --workdir="${WORKDIR:-runs/slurm}" "$@" ||
    code=$?
if [ "$code" -eq 143 ]; then # stopped by SIGTERM, checkpoint saved
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
