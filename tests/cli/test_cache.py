import numpy as np
import pytest
from absl import flags

from mer_jax.cli import cache
from mer_jax.errors import UserError
from mer_jax.io.array_cache import ArrayCache


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in ("examples_dir", "clear"):
        flags.FLAGS[name].unparse()
    code = cache.main(cache.parse(["mer-jax cache", *arguments]))
    out = capsys.readouterr()
    return code or 0, out.out, out.err


def test_lists_and_clears(capsys, tmp_path):
    for method, key in (("psn", 64 * "a"), ("psn", 64 * "b"), ("strcn_g", 64 * "a")):
        ArrayCache(tmp_path, 1e9).write(method, key, {"row": np.zeros(2**18, np.float32)})
    folder = f"--examples_dir={tmp_path}"
    code, out, err = run(capsys, folder)
    assert code == 0 and not err
    assert "psn" in out and "2 entries" in out and "2.0 MiB" in out and "strcn_g" in out
    with pytest.raises(UserError, match="has no 'pns'; it has psn, strcn_g"):
        run(capsys, folder, "--clear=pns")
    assert "removed 2 entries, 2.0 MiB" in run(capsys, folder, "--clear=psn")[1]
    assert "removed 1 entries" in run(capsys, folder, "--clear")[1]
    assert run(capsys, folder)[1].strip() == f"{tmp_path}: empty"
    assert run(capsys, f"{folder}/nowhere")[0] == 0
