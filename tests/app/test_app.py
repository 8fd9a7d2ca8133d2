"""What is behind the page of `ssast-hf app`: functions that need no browser, and no gradio."""

import json
import shutil
import socket

import numpy as np
import pytest
import soundfile
import torch
from headed import HEADS, save_headed

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForPretraining,
    SSASTModel,
    modeling_ssast,
)
from ssast_hf.app import serving, time_line
from ssast_hf.app.answering import TITLES, as_csv, show_answers
from ssast_hf.app.asking import ask
from ssast_hf.app.attending import attention_from
from ssast_hf.app.comparing import show_comparison, told_apart
from ssast_hf.app.foreign import ForeignClassifier
from ssast_hf.app.guessing import guess
from ssast_hf.app.hiding import FREQUENCY, PAINTED, RANDOM, STRATEGIES, TIME, choose_patches
from ssast_hf.app.inversion import to_sound
from ssast_hf.app.models import ANSWER, COMPARE, HIDE, LOOK, Model, open_models
from ssast_hf.app.pictures import draw_spectrogram, place_in
from ssast_hf.app.showing import (
    attended_place,
    canvas_of,
    features_of,
    number_at,
    show_attention,
    show_guess,
    show_place,
)
from ssast_hf.app.sounds import read_part
from ssast_hf.app.time_line import draw_answers
from ssast_hf.app.windows import encoded
from ssast_hf.app.words import in_words
from ssast_hf.assets import nano_model, titled_clips
from ssast_hf.audio import load_audio
from ssast_hf.audio.decoded import DecodedFiles
from ssast_hf.cli import main
from ssast_hf.inference.clips import AudioFile
from ssast_hf.inference.predicting.answers import Answer
from ssast_hf.inference.predicting.heads import EVENTS, LABELS, TEXT


CLIPS = {title: str(path) for title, path in titled_clips().items()}
GRID = (4, 10)


@pytest.fixture(scope="module")
def nano() -> Model:
    return open_models([])["nano"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Model:
    """The bundled model with a head that has learned nothing."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "animals"
    names = {0: "animal", 1: "weather", 2: "voice"}
    SSASTForAudioClassification.from_pretrained(nano_model(), id2label=names).save_pretrained(folder)
    SSASTFeatureExtractor.from_pretrained(nano_model()).save_pretrained(folder)
    return open_models([str(folder)])["animals"]


@pytest.fixture(scope="module")
def shown(nano):
    """A guess of the bundled model."""
    return show_guess(*nano.pretraining, CLIPS["rooster"], 0, RANDOM, 0.4, 3)


@pytest.fixture
def clip(tmp_path):
    """Write samples, (num_samples,) or (num_samples, channels), as a WAV file; returns its path."""

    def write(samples, rate=16000, name="clip.wav") -> str:
        soundfile.write(tmp_path / name, samples, rate)
        return str(tmp_path / name)

    return write


# What is hidden


@pytest.mark.parametrize("strategy", STRATEGIES[:-1])
def test_as_much_is_hidden_as_asked_for_and_the_seed_decides_where(strategy):
    masks = [choose_patches(strategy, 0.5, seed, GRID) for seed in (0, 0, 1, 2, 3)]
    assert all(mask.sum() == 20 for mask in masks)
    assert torch.equal(masks[0], masks[1])
    assert not all(torch.equal(masks[0], mask) for mask in masks)
    # Never all, and never nothing.
    assert 0 < choose_patches(strategy, 1.0, 0, GRID).sum() < 40
    assert 0 < choose_patches(strategy, 0.0, 0, GRID).sum() < 40


def test_spans_and_bands_are_in_one_piece():
    span = choose_patches(TIME, 0.3, 5, GRID).view(GRID)
    assert (span == span[0]).all()
    assert span[0].int().diff().abs().sum() <= 2
    band = choose_patches(FREQUENCY, 0.5, 5, GRID).view(GRID)
    assert (band.T == band[:, 0]).all()


def test_paint_hides_the_patches_that_it_covers():
    painted = np.zeros((40, 200), dtype=bool)
    painted[:10, 20:60] = True  # the highest of four rows, and columns 1 and 2 of ten
    mask = choose_patches(PAINTED, 0.5, 0, GRID, painted).view(GRID)
    assert mask.nonzero().tolist() == [[3, 1], [3, 2]]


@pytest.mark.parametrize(
    ("strategy", "grid", "painted", "message"),
    [
        (PAINTED, GRID, None, "Nothing is painted yet"),
        (PAINTED, GRID, np.ones((8, 8), dtype=bool), "nothing is left to see"),
        (FREQUENCY, (1, 10), None, "reach over all frequencies"),
        (TIME, (4, 1), None, "reach over all of this clip"),
        (RANDOM, (1, 1), None, "a single patch"),
    ],
)
def test_what_cannot_be_hidden_is_told(strategy, grid, painted, message):
    with pytest.raises(ValueError, match=message):
        choose_patches(strategy, 0.5, 0, grid, painted)


# What the model makes of it


def test_what_is_painted_on_the_patches_is_hidden(nano):
    model, extractor = nano.pretraining
    canvas = canvas_of(model, extractor, CLIPS["rooster"], 0)
    painted = np.zeros(canvas.shape[:2], dtype=bool)
    painted[: len(painted) // 4] = True  # the highest of the frequencies
    shown = show_guess(model, extractor, CLIPS["rooster"], 0, PAINTED, 0.4, 0, painted)
    assert shown.num_hidden == shown.grid_shape[1] * 2  # of eight bands
    assert f"**{shown.num_hidden}** of " in shown.facts


def test_patch_that_is_clicked_is_the_one_whose_attention_is_shown(nano):
    found = [attended_place(nano.embedder, CLIPS["rooster"], 0, place) for place in ((0, 0), (600, 200), (700, 200))]
    assert found[0] is None  # beside the spectrogram
    assert found[1][1] == found[2][1] > 0
    assert found[1][0] < found[2][0]


def test_guess_says_what_the_model_says(nano, shown):
    model, extractor = nano.pretraining
    values, _ = features_of(model, extractor, CLIPS["rooster"], 0)
    mask = choose_patches(RANDOM, 0.4, 3, model.base_model.grid_shape(values))
    with torch.no_grad():
        outputs = model(values, bool_masked_pos=mask)
    found = shown.found
    assert found.accuracy == pytest.approx(float(outputs.accuracy))
    assert found.error == pytest.approx(float(outputs.generative_loss))
    assert np.nanmean(found.squared_error) == pytest.approx(found.error, rel=1e-4)
    assert (found.reconstructed == found.original)[~found.hidden].all()
    assert f"**{int(mask.sum())}** of {mask.numel()} patches were hidden" in shown.facts
    # The ranking, with a loop: how many hidden patches the head holds for likelier than the right one.
    targets = model.patchify(values)[0][mask[0]]
    for number in (0, len(targets) - 1):
        likelier = sum(row > found.probabilities[number, number] for row in found.probabilities[number])
        assert found.ranks[number] == 1 + likelier
    assert found.probabilities.shape == (len(targets), len(targets))
    assert found.probabilities.sum(axis=0) == pytest.approx(1, abs=1e-4)
    # What pretraining calls accuracy is the share of first ranks.
    assert np.mean(found.ranks == 1) == pytest.approx(found.accuracy)


def test_guess_is_the_same_where_masks_are_not_looked_at(nano, shown, monkeypatch):
    """As on an accelerator, where the heads answer for all patches, those that are hidden first."""
    model, extractor = nano.pretraining
    values, _ = features_of(model, extractor, CLIPS["rooster"], 0)
    mask = choose_patches(RANDOM, 0.4, 3, model.base_model.grid_shape(values))
    monkeypatch.setattr(modeling_ssast, "is_at_hand", lambda tensor: False)
    found = guess(model, values, mask)
    assert found.probabilities == pytest.approx(shown.found.probabilities, abs=1e-5)
    assert (found.ranks == shown.found.ranks).all()


def test_place_that_is_clicked_is_the_one_that_is_explained(shown):
    place = int(shown.found.places[7])
    row, column = divmod(place, shown.grid_shape[1])
    height, width = shown.ranks.shape[:2]
    # Whatever the margins are: the middle of the patch is found, and nothing outside.
    pixels = [(x, y) for x in range(0, width, 4) for y in range(0, height, 4)]
    inside = [pixel for pixel in pixels if number_at(shown, pixel) == 8]
    assert inside
    mels, frames = shown.found.original.shape
    assert {place_in(pixel, mels, frames)[0] // 16 for pixel in inside} == {row}
    assert {place_in(pixel, mels, frames)[1] // 16 for pixel in inside} == {column}
    assert number_at(shown, (0, 0)) is None
    image, table = show_place(shown, 7)
    assert image.shape == shown.ranks.shape
    assert [cells[0] for cells in table] == [1, 2, 3, 4, 5]
    assert ("yes" in [cells[4] for cells in table]) == (shown.found.ranks[7] <= 5)


def test_sound_from_a_spectrogram_has_about_the_same_spectrogram(nano):
    _, extractor = nano.pretraining
    options = dict(sampling_rate=16000, padding=False, truncation=False, return_attention_mask=False)
    before = np.stack(extractor(load_audio(CLIPS["rooster"]), **options)["input_values"])[0].T
    sound = to_sound(before, extractor)
    assert np.array_equal(sound, to_sound(before, extractor))
    after = np.stack(extractor(sound, **options)["input_values"])[0].T
    # Frames of it begin half a frame earlier, about one.
    alike = np.corrcoef(before[:, 1 : after.shape[1] + 1].ravel(), after[:, : before.shape[1] - 1].ravel())[0, 1]
    assert alike > 0.97


def test_attention_is_that_of_the_model(nano):
    encoder = nano.embedder.encoder
    values, _ = features_of(encoder, nano.embedder.feature_extractor, CLIPS["rooster"], 0)
    frequency, time = encoder.grid_shape(values)
    with torch.no_grad():
        outputs = encoder(values, output_attentions=True)
    found = attention_from(encoder, values, 2, (1, 3), head=2)
    expected = outputs.attentions[1][0, 1, 2 + time + 3]
    assert found.patches == pytest.approx(expected[2:].view(frequency, time).numpy())
    assert found.patches.sum() + found.front == pytest.approx(1, abs=1e-5)
    notice, image = show_attention(nano.embedder, CLIPS["rooster"], 0, 2, None, 99, 999)  # beyond: the last patch
    assert "mean of all heads" in notice
    assert image.shape[2] == 4


def test_pictures_are_read_on_dark_and_on_light():
    image = draw_spectrogram(np.linspace(0, 1, 32 * 50).reshape(32, 50), 0.01)
    corner = image[2, 2]
    assert corner[3] == 0  # no background


def test_labels_may_be_called_anything():
    """Two dollars would begin and end a formula, and this one is none."""
    answers = [Answer(0, 1, r"$\frac{$", 0.6), Answer(0, 1, "b", 0.4)]
    assert draw_answers(answers, 1, LABELS)[1] == 0


def test_bars_are_of_the_highest_scores(monkeypatch):
    drawn = []
    monkeypatch.setattr(time_line, "draw_bars", drawn.append)
    draw_answers([Answer(0, 1, str(i), i / 20) for i in range(12)], 1, EVENTS)
    assert [each.label for each in drawn[0]] == [str(i) for i in range(11, 1, -1)]


def test_seconds_are_those_of_the_recording(nano, tmp_path):
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).standard_normal(16000 * 30), 16000)
    for begin in (20.0, 1e308):  # there, the last part
        part = read_part(str(tmp_path / "long.wav"), nano.pretraining[1], 16, 512, begin)
        assert part.begin == pytest.approx(min(begin, 30 - len(part.samples) / 16000))
    shown = show_guess(*nano.pretraining, str(tmp_path / "long.wav"), 20.0, RANDOM, 0.4, 3)
    seconds = [float(cells[1]) for cells in show_place(shown, 0)[1]]
    assert 20 <= min(seconds) <= max(seconds) <= 26


def test_picture_of_many_answers_says_what_it_leaves_out():
    answers = [Answer(second, second + 1, f"word {second % 12}", 0.5) for second in range(3000)]
    assert draw_answers(answers, 3000, LABELS)[1] == 2  # of 12 labels
    assert draw_answers(answers[:14], 14, TEXT)[1] == 4  # of as many words, one after another


def test_one_event_in_a_long_recording_is_shown_where_it_is():
    early, late = (draw_answers([Answer(start, start + 1, "bark", 0.9)], 600, EVENTS)[0] for start in (0.0, 300.0))
    assert (early != late).any()


# Comparing and answering


def test_bundled_clips_that_are_shorter_than_a_patch_are_not_compared_with(tmp_path):
    config = SSASTConfig(
        patch_size=32, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, max_length=96, num_masked_patches=4
    )
    SSASTModel(config).save_pretrained(tmp_path)
    SSASTFeatureExtractor(max_length=96, return_attention_mask=True).save_pretrained(tmp_path)
    comparison = open_models([str(tmp_path)])[tmp_path.name].comparison
    assert CLIPS.keys() - comparison.bundled.keys() == {"trumpet"}


def test_clips_of_one_name_are_told_apart():
    named = [("a.wav", "x"), ("b.wav", "y"), ("a.wav", "z")]
    assert told_apart(named) == [("a.wav", "x"), ("b.wav", "y"), ("a.wav (2)", "z")]


def test_what_can_only_be_read_from_its_beginning_is_decoded_once(classifier, tmp_path, monkeypatch):
    """Each window of a long MP3 would read all that is before it."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000 * 30)
    for suffix in ("mp3", "wav"):
        soundfile.write(tmp_path / f"long.{suffix}", noise, 16000)
    opened = []
    decode = DecodedFiles.decode
    monkeypatch.setattr(DecodedFiles, "decode", lambda self, *args: opened.append(args) or decode(self, *args))
    for suffix, count in (("mp3", 1), ("wav", 0)):
        path = tmp_path / f"long.{suffix}"
        clip = AudioFile.open({"name": str(path), "path": str(path)}, 16000)
        assert len(list(encoded(classifier.predictor, clip, lambda share: None))) > 3
        assert len(opened) == count
        opened.clear()


def test_clip_is_most_like_itself(nano, clip):
    louder = clip(load_audio(CLIPS["dog"]), name="again.wav")
    told = []
    paths = [("dog", CLIPS["dog"]), ("rain", CLIPS["rain"]), louder]
    notice, picture, table, rows = show_comparison(lambda: nano.comparison, paths, told.append)
    assert table["headers"] == ["", "dog", "rain", "again.wav"]
    alike = np.array([[float(cell) for cell in row[1:]] for row in table["data"]])
    assert alike[0, 2] > 0.99 > alike[0, 1]
    neighbours = [[cell.split(" (")[0] for cell in row[2:]] for row in rows]
    assert [len(names) for names in neighbours] == [3, 3, 3]
    assert "again.wav" not in notice  # nothing was done to it
    assert "dog" not in neighbours[0]  # a clip is no neighbour of itself
    assert "rain" not in neighbours[1]
    assert told[-1] == 1
    assert picture.shape[2] == 4
    assert notice.startswith("dog and rain: ")
    stereo = clip(np.zeros((8000, 2)), 8000, "stereo.wav")
    notice, smaller, *_ = show_comparison(lambda: nano.comparison, [louder, stereo], told.append)
    assert picture.shape[0] == 2 * smaller.shape[0]  # of the first with each of two others
    assert "stereo.wav: Its 2 channels were mixed down to one. It was resampled from 8,000 to 16,000 Hz." in notice
    assert "This is silence, or nearly." in notice
    with pytest.raises(ValueError, match="two clips or more"):
        show_comparison(None, paths[:1], told.append)


def test_long_recording_is_answered_window_by_window_with_progress(classifier, clip):
    path = clip(np.tile(load_audio(CLIPS["rain"]), 14))  # 21 s, of a model that hears 5.12 at once
    told = []
    notice, picture, rows, text = show_answers(classifier.predictor, path, told.append)
    expected = classifier.predictor(path)
    assert [row[2] for row in rows] == [row["label"] for row in expected]
    assert text == as_csv("clip.wav", [type("A", (), row) for row in expected])
    assert text.splitlines()[0] == "path,start,end,label,score"
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 2
    assert "21.0 s" in notice
    assert "silence" not in notice
    quiet = show_answers(classifier.predictor, clip(np.zeros(16000 * 8)), told.append)[0]
    assert "This is silence, or nearly: what a model says of it means nothing." in quiet
    assert picture.shape[2] == 4


@pytest.mark.parametrize("title", HEADS)
def test_every_head_has_its_tab_and_answers(title, tmp_path, clip):
    save_headed(title, tmp_path)
    (model,) = open_models([str(tmp_path)]).values()
    assert TITLES[model.predictor.kind] == title
    path = clip(load_audio(CLIPS["rooster"])[:48000])
    notice, picture, rows, text = show_answers(model.predictor, path, lambda done: None)
    assert notice
    assert picture.shape[2] == 4
    assert len(text.splitlines()) == 1 + len(rows) > 1


def test_models_can_do_what_their_heads_are_for(nano, classifier, config, tmp_path):
    assert nano.abilities == {HIDE, COMPARE, LOOK}
    assert classifier.abilities == {ANSWER, COMPARE, LOOK}
    fields = config.to_dict() | {"frequency_stride": 4, "num_masked_patches": None}
    SSASTForPretraining(SSASTConfig(**fields)).save_pretrained(tmp_path)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path)
    model = Model(str(tmp_path))
    model.load()  # the other tabs can do with it
    with pytest.raises(ValueError, match="overlap"):
        _ = model.pretraining


def test_page_can_be_asked_without_a_browser(nano):
    answer = json.loads(json.dumps(ask({"nano": nano})))
    assert (answer["model"], answer["clip"]) == ("nano", "rooster")
    assert answer["vector"] == pytest.approx(nano.comparison.bundled["rooster"].tolist())


# Whatever is dropped gets an answer in words


def test_every_kind_of_recording_gets_an_answer(nano, clip, tmp_path):
    _, extractor = nano.pretraining

    def say(path, second=0.0) -> str:
        answer = in_words(lambda: [" ".join(read_part(path, extractor, 16, 512, second).notes), 1], 1)()
        assert answer[1] == (None if answer[0].startswith("⚠️") else 1)
        return answer[0]

    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (96000, 2))
    assert (
        say(clip(noise, 96000)) == "Its 2 channels were mixed down to one. It was resampled from 96,000 to 16,000 Hz."
    )
    assert "is 0.10 s long, too short for this model, which needs 0.17 s" in say(clip(noise[:1600, 0]))
    assert "silence" in say(clip(np.zeros(16000)))
    long = clip(np.zeros(16000 * 600, dtype=np.int16))
    assert "It is 10 min 0 s long; this is from 590.0 to 595.1 s." in say(long, 590)
    (tmp_path / "text.wav").write_text("no sound at all")
    assert "text.wav is no readable audio file" in say(str(tmp_path / "text.wav"))
    assert str(tmp_path) not in say(str(tmp_path / "text.wav"))
    full = in_words(lambda: torch.empty(1 << 60), 1)()
    assert full[0].startswith("⚠️ The memory is full.")
    with pytest.raises(RuntimeError, match="a mistake"):
        in_words(lambda: (_ for _ in ()).throw(RuntimeError("a mistake")), 1)()
    assert say(None) == "⚠️ Record, drop or pick a clip first."
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    assert "nan.wav holds NaN" in say(str(tmp_path / "nan.wav"))


def test_comparing_and_answering_have_words_for_every_kind_of_recording(nano, classifier, clip, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 16000 * 60)
    (tmp_path / "text.wav").write_text("no sound at all")
    for path, words in {
        clip(noise[:1600], name="short.wav"): "short.wav",
        str(tmp_path / "text.wav"): "text.wav is no readable audio file",
    }.items():
        with pytest.raises(ValueError, match=words):
            show_comparison(lambda: nano.comparison, [("dog", CLIPS["dog"]), path], lambda share: None)
        with pytest.raises(ValueError, match=words):
            show_answers(classifier.predictor, path, lambda share: None)
    long = clip(noise, name="minute.wav")
    rows = show_comparison(lambda: nano.comparison, [("dog", CLIPS["dog"]), long], lambda share: None)[3]
    assert rows[1][:2] == ["minute.wav", "60.0"]
    assert "for 1 min 0 s." in show_answers(classifier.predictor, long, lambda share: None)[0]


# Starting it


def test_port_in_use_is_told_before_anything_is_loaded(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", type("gradio", (), {}))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert main(["app", "--port", str(port)]) == 1
    assert f"error: Port {port} is in use" in capsys.readouterr().err
    assert main(["app", "--port", "0"]) == 1
    assert "from 1 to 65535" in capsys.readouterr().err
    with pytest.raises(OSError, match=r"Nothing can listen at 192\.0\.2\.1"):
        serving.check_port("192.0.2.1", 7860)


def test_page_listens_at_any_address_and_says_if_it_cannot(monkeypatch):
    """IPv6 is in brackets, as in an address, and no proxy is asked for a machine's own page."""
    given = {}
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("no_proxy", "")

    class Page:
        def launch(self, **options):
            given.update(options)
            raise RuntimeError("gradio says no.")

    serving.reach_directly("::1")
    with pytest.raises(OSError, match=r"does not start at ::1, port 7860 \(gradio says no\)"):
        serving.launch(Page(), "::1", 7860, {})
    assert given["server_name"] == "[::1]"
    assert serving.os.environ["NO_PROXY"].split(",") == ["example.org", *serving.LOOPBACK, "::1"]
    assert serving.os.environ["no_proxy"].split(",")[0] == "127.0.0.1"


def test_code_of_a_model_is_named_and_not_run(tmp_path):
    folder = tmp_path / "foreign"
    folder.mkdir()
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForAudioClassification": "own.OwnClassifier"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto_map}))
    extractor = {"feature_extractor_type": "OwnExtractor", "auto_map": {"AutoFeatureExtractor": "ears.OwnExtractor"}}
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    for name in ("own.py", "ears.py"):
        (folder / name).write_text("raise SystemExit('it ran')")
    model = open_models([str(folder)])["foreign"]
    assert model.abilities == set()
    assert "OwnExtractor in ears.py, OwnClassifier in own.py, OwnConfig in own.py" in model.problem
    assert "--trust_remote_code" in model.problem
    with pytest.raises(SystemExit, match="it ran"):
        open_models([str(folder)], trust_remote_code=True)


def test_trusted_code_classifies(tmp_path, clip):
    """A stranger to this package: the bundled model's code under another name."""
    folder = tmp_path / "stranger"
    SSASTForAudioClassification.from_pretrained(nano_model(), id2label={0: "a", 1: "b"}).save_pretrained(folder)
    SSASTFeatureExtractor.from_pretrained(nano_model()).save_pretrained(folder)
    for path in folder.glob("*.py"):
        path.write_text(path.read_text().replace('model_type = "ssast"', 'model_type = "stranger"'))
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"model_type": "stranger"}))
    model = open_models([str(folder)], trust_remote_code=True)["stranger"]
    notice, _, rows, _ = show_answers(model.predictor, CLIPS["dog"], lambda share: None)
    assert {row[2] for row in rows} == {"a", "b"}
    assert "silence" not in notice
    assert "This is silence" in show_answers(model.predictor, clip(np.zeros(16000 * 3)), lambda share: None)[0]
    # The last window begins before the end of the one before it, so that it is as long; and nothing is told.
    long = AudioFile.open({"name": "long", "path": clip(np.tile(load_audio(CLIPS["rain"]), 8))}, 16000)  # 12 s
    spans = {(each.start, each.end) for each in model.predictor.answer(long, 2, lambda share: None)[0]}
    assert sorted(spans) == [(0, 10), (long.num_samples / 16000 - 10, long.num_samples / 16000)]
    assert isinstance(model.predictor, ForeignClassifier)
    one = model.predictor.scores(load_audio(CLIPS["dog"]), "dog")
    model.predictor.is_multilabel = True
    several = model.predictor.scores(load_audio(CLIPS["dog"]), "dog")
    assert one.sum() == pytest.approx(1)
    # The same logits through another function: their difference is that of the logarithms of the odds.
    assert np.diff(np.log(several / (1 - several))) == pytest.approx(np.diff(np.log(one)), abs=1e-4)
    shutil.rmtree(folder)


def test_recording_without_answers_gets_a_sentence(clip):
    foreign = ForeignClassifier.__new__(ForeignClassifier)
    foreign.feature_extractor = SSASTFeatureExtractor()
    foreign.answer = lambda *arguments: ([], False)
    notice, picture, rows, _ = show_answers(foreign, clip(np.zeros(16000)), lambda share: None)
    assert (notice, picture, rows) == ("Nothing was found in this recording.", None, [])


def test_models_that_are_none_are_refused(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="nowhere is neither a folder nor a repository"):
        open_models(["nowhere"])
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="model of the type 'bert'"):
        open_models([str(tmp_path)])
    with pytest.raises(ValueError, match="named twice"):
        open_models(["nano", "nano", "nano"])
