"""One clip as a picture: what is on it, and the command as a user runs it."""

import sys

import cv2
import numpy as np
import pytest
from absl import flags
from PIL import Image

from mer_jax.cli import command, show
from mer_jax.datasets import synthetic, video_source
from mer_jax.errors import UserError
from mer_jax.reporting import figures, preview
from mer_jax.video import rpca


@pytest.fixture(scope="module")
def scene():
    size = dict(subjects=1, clips_per_subject=1, size=(40, 32), frames=(10, 10))
    return synthetic.scenes(**size, amplitude=(2.0, 2.0), noise=0.0, blinks=0.0, drift=0.0)[0]


@pytest.fixture(scope="module")
def looks(scene):
    frames = scene.frames.astype(np.float32) / 255
    return preview.preview_clip(frames, onset=scene.onset, apex=scene.apex, fps=100.0, every=True)


@pytest.fixture
def folder(scene, tmp_path):
    for number, frame in enumerate(scene.frames):
        cv2.imwrite(str(tmp_path / f"img{number + 5}.png"), frame[..., ::-1])
    return tmp_path


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in (
        "out",
        "onset",
        "apex",
        "span",
        "alpha",
        "mask_fraction",
        "size",
        "face",
        "landmarks",
        "fps",
    ):
        flags.FLAGS[name].unparse()
    code = command.run(show.main, flags.FLAGS(["show", *map(str, arguments)]))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.slow
def test_looks_against_their_definitions(scene, looks):
    gray = looks.frames @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(
        looks.perception[1:], 255 * np.diff(gray, axis=0).std((1, 2)), rtol=2e-3, atol=1e-3
    )
    change = looks.magnified - looks.magnified[0]
    np.testing.assert_allclose(looks.distance, 255 * change.std((1, 2, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(looks.heat, np.abs(change).sum((0, 3)), rtol=1e-4, atol=1e-4)
    assert looks.mask.sum() == int(0.3 * looks.heat.size)
    assert looks.heat[looks.mask].min() >= looks.heat[~looks.mask].max()
    _, sparse = rpca(gray.reshape(len(gray), -1).T)
    strongest = 0.3 * np.count_nonzero(sparse)
    assert np.count_nonzero(looks.sparse) == pytest.approx(strongest, rel=0.02)
    assert looks.apex == scene.apex and looks.marked
    # The flow points where the movement went that was rendered.
    true, seen = scene.flow(scene.apex, scene.onset), looks.flow[scene.apex]
    assert (true * seen).sum() > 0.5 * np.linalg.norm(true) * np.linalg.norm(seen)
    assert np.abs(looks.flow[scene.onset]).max() < 1e-3


@pytest.mark.slow
def test_the_page_shows_eight_tiles_and_the_apex(looks):
    figure = preview.plot_preview(looks)
    tiles = [axes for axes in figure.axes if axes.images]
    assert len(tiles) == 8
    assert f"apex {looks.apex}, given" in [axes.get_title() for axes in tiles]
    picture = cv2.imdecode(np.frombuffer(figures.png(figure), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] > 1000 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 500


@pytest.mark.slow
def test_the_animation_moves_and_its_layout_does_not(looks, tmp_path):
    (tmp_path / "a.gif").write_bytes(preview.animation(looks))
    film = Image.open(tmp_path / "a.gif")
    assert film.n_frames == len(looks.frames)
    frames = []
    for number in range(film.n_frames):
        film.seek(number)
        frames.append(np.asarray(film.convert("RGB")))
    apart = np.abs(frames[0].astype(int) - frames[looks.apex]).max(-1)
    height, width = apart.shape
    assert (apart[: height // 3, width // 100 : int(0.23 * width)] < 40).all()  # the onset stays
    assert (apart[: height // 3, width // 4 : 3 * width // 4] > 40).any()  # frame t does not


def test_what_no_clip_is(scene):
    frames = scene.frames.astype(np.float32) / 255
    for given, said in (
        ({"frames": frames[:1]}, "a clip needs two frames or more"),
        ({"frames": frames, "apex": 10}, "apex is 10; the clip's frames are 0 to 9"),
        ({"frames": frames, "mask_fraction": 0.0}, "mask_fraction is 0.0"),
    ):
        with pytest.raises(UserError, match=said):
            preview.preview_clip(**given)


def test_a_folder_of_frames_in_the_order_of_their_numbers(scene, folder):
    found = video_source.open_video(folder, fps=50)
    assert found.count == 10 and found.fps == 50
    np.testing.assert_array_equal(found.clip.frames, scene.frames)


@pytest.mark.parametrize("ending", (".mp4", ".webm"))
def test_a_video_file(scene, tmp_path, ending):
    found = video_source.open_video(synthetic.video(tmp_path / f"v{ending}", scene))
    assert found.fps == pytest.approx(scene.fps) and found.count == scene.length
    assert np.abs(found.clip.frames.astype(int) - scene.frames).mean() < 6
    assert not found.notes


def test_the_command_on_a_folder(capsys, folder):
    code, out, err = run(capsys, folder, f"--out={folder}.png", "--apex=4")
    assert (code, out.strip(), err) == (0, f"{folder}.png", "")
    assert cv2.imread(f"{folder}.png") is not None


def test_a_terminal_gets_a_bar_of_rpca(capsys, folder, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, _, err = run(capsys, folder, f"--out={folder}.png", "--apex=4")
    assert code == 0 and "RPCA   0%" in err and err.count("RPCA") > 1


def test_mistakes_in_the_command(capsys, folder):
    (folder / "broken.mp4").write_text("no video")
    (folder / "empty").mkdir()
    for arguments, said in (
        ((), "name one clip"),
        ((folder / "nothing.mp4",), "there is no such file or folder"),
        ((folder / "broken.mp4",), "cannot be read as a video"),
        ((folder / "empty",), "the folder holds no images"),
        (("synthetic:x",), "INDEX is a number from 0 to 119"),
        ((folder, "--out=a.jpg"), "the picture is a .png or a .gif"),
        ((folder, f"--out={folder}/o.png"), "inside the folder of videos or frames"),
        ((folder, "--span=7"), "write START:STOP"),
        ((folder, "--span=50:"), "has no frames in --span=50:"),
        ((folder, "--onset=99"), "onset is 99"),
        ((folder, "--fps=-1"), "fps is -1"),
        ((folder, "--landmarks=x.dat"), "there is no such landmark model"),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 2 and not out and said in err and err.count("\n") == 1


def test_the_folder_one_stands_in(capsys, folder, monkeypatch):
    monkeypatch.chdir(folder)
    code, out, err = run(capsys, ".", "--apex=4")
    assert code == 0 and f"{folder.name}.png" in out, err
    assert (folder.parent / f"{folder.name}.png").is_file(), "not among the frames"
