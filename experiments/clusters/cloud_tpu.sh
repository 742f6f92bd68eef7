#!/bin/bash
# One job on all hosts of a Cloud TPU slice, from any machine with gcloud:
#
#   TPU=my-slice ZONE=us-central2-b experiments/clusters/cloud_tpu.sh [FLAGS of mer-jax run]
#
# Every host has the checkout in ~/mer_jax with its .venv (pip install 'jax[tpu]' -e .) and the data
# at the same path. Worker 0 writes the results; re-run the same command to resume after a
# maintenance event, unless that worker's disk is lost.
set -eu
command="cd mer_jax && exec .venv/bin/python -m experiments.launch --distributed"
for flag in "--config=${CONFIG:-default}" "--workdir=${WORKDIR:-runs/tpu}" "$@"; do
    command+=" $(printf '%q' "$flag")"
done
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$command"
