r"""SFAMNet (Liong et al. 2024) on CAS(ME)^2: one network spots and recognizes.

Its third input is the strain in place of the flow of the depth, which CAS(ME)^3 alone records. The
whole cropped face, spans, durations and p of the training subjects, the last epoch. The authors'
code scores the second half of the rise to the apex of a micro-expression as 1, adds the clips of
recognition, takes as many samples without an expression as with one, multiplies the flow of
training by .9 to 1.1, and trains 1,000 steps; here every sample that overlaps with an expression is
1, and all samples are taken as they are (--config.evidence.drop_zeros leaves some out).
  mer-jax run spot_sfamnet --config.data.root=DIR --workdir=runs/spot_sfamnet
"""

from mer_jax import configuration


def get_config():
    return configuration.make_spotting(
        title="SFAMNet, CAS(ME)^2",
        data="casme_squared",
        evidence={
            "name": "network",
            "pairs": "one",
            "size": (128, 128),
            "preset": "tv_l1",
            "normalize": "sample",
            "targets": "any",
        },
        model="sfamnet",
        train={"epochs": 50, "batch_size": 1024, "learning_rate": 1e-4, "loss": "spot_recognize"},
        recognition={"spotter": True, "label_scheme": "strcn4"},
    )
