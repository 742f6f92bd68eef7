"""The launch files: their syntax, and what has to agree for the processes to find each other."""

import pathlib
import re
import subprocess

import pytest
import yaml

from mer_jax import configuration

CLUSTERS = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "clusters"
COMMAND = CLUSTERS.parents[1] / "mer_jax" / "cli"
LAUNCH = "".join((COMMAND / f"{name}.py").read_text() for name in ("run", "run_flags"))


@pytest.mark.parametrize("name", ["slurm.sh", "cloud_tpu.sh"])
def test_scripts(name):
    path = CLUSTERS / name
    assert path.stat().st_mode & 0o100
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_slurm_asks_to_stop_and_queues_again():
    text = (CLUSTERS / "slurm.sh").read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.M))
    # One process for each GPU, and a signal that the launch understands: 128 + 15 is its answer.
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert options["signal"].startswith("TERM@") and "requeue" in options
    assert "-eq 143" in text and "signal.SIGTERM" in LAUNCH


def test_cloud_tpu_hands_its_flags_on_as_they_are(tmp_path):
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    gcloud.chmod(0o755)
    done = subprocess.run(
        [str(CLUSTERS / "cloud_tpu.sh"), "--config.data.size=(24, 24)", "--config.title=it's"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "TPU": "slice", "ZONE": "here"},
        capture_output=True,
        text=True,
        check=True,
    )
    *_, command = done.stdout.splitlines()
    assert "--worker=all" in done.stdout and "--distributed" in command
    # The far shell takes the command apart again.
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command.partition('launch ')[2]}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert words[-2:] == ["--config.data.size=(24, 24)", "--config.title=it's"]


def test_kubernetes_pods_find_each_other():
    documents = yaml.safe_load_all((CLUSTERS / "kubernetes.yaml").read_text())
    parts = {document["kind"]: document for document in documents}
    service, job, role = parts["Service"], parts["Job"], parts["Role"]
    pod = job["spec"]["template"]["spec"]
    assert service["spec"]["clusterIP"] == "None"  # headless, as jax.distributed asks for
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] > 1
    allowed = {what for rule in role["rules"] for what in rule["resources"]}
    assert allowed == {"pods", "services", "jobs"}
    account = parts["ServiceAccount"]["metadata"]["name"]
    assert pod["serviceAccountName"] == account == parts["RoleBinding"]["subjects"][0]["name"]
    assert parts["RoleBinding"]["roleRef"]["name"] == role["metadata"]["name"]
    claims = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} <= claims


@pytest.mark.parametrize("name", ["slurm.sh", "cloud_tpu.sh", "kubernetes.yaml"])
def test_the_command_is_that_of_the_launch(name):
    text = (CLUSTERS / name).read_text()
    assert "experiments.launch" in text
    for flag in ("distributed", "config", "workdir"):
        assert f"--{flag}" in text and f'"{flag}"' in LAUNCH
    assert re.search(r"--config=\S*default\b", text) and "default" in configuration.shipped()
