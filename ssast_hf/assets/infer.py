"""What model.onnx says of a recording: `python infer.py clip.wav`. Needs numpy, onnxruntime and soundfile alone."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile


def main(path):
    folder = Path(__file__).resolve().parent
    numbers, labels = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("preprocessor", "labels"))
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [each.name for each in session.get_inputs()]
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        sys.exit(str(error))
    # Resampled by its spectrum, which is cut, or goes on with zeros.
    count = round(len(samples) * numbers["sampling_rate"] / rate)
    values = np.fft.irfft(np.fft.rfft(samples.mean(axis=1)), count) * (count / len(samples))
    step, frame = numbers["frame_shift"], numbers["frame_length"]
    fewest = frame if numbers["pad_to"] else frame + (numbers["min_frames"] - 1) * step
    most = frame + (numbers["cut_to"] - 1) * step if numbers["cut_to"] else count
    if count < fewest:
        needed = fewest / numbers["sampling_rate"]
        sys.exit(f"{path} is {len(samples) / rate:.2f} s long, and the model needs {needed:.2f} s. Take a longer one.")
    if count > most:
        print(f"{path} is cut to its first {most / numbers['sampling_rate']:.2f} s.", file=sys.stderr)
    if names[0] == "input_values":
        values = filter_banks(values, **numbers)
    inputs = {names[0]: values[None].astype(np.float32)}
    if "attention_mask" in names:
        inputs["attention_mask"] = np.ones(inputs[names[0]].shape[:2], dtype=np.int64)
    outputs = dict(zip([each.name for each in session.get_outputs()], session.run(None, inputs), strict=True))
    if "" in labels:  # of a model for text, that of the blank; what is said twice in a row is one
        best = outputs["logits"][0].argmax(axis=1)
        print("".join(labels[i] for i in best[np.diff(best, prepend=-1) != 0]))
    elif labels and "logits" in outputs:
        for scores in outputs["logits"].reshape(-1, len(labels)):  # of the clip, or of every time step
            print(*(f"{labels[i]} {scores[i]:.3f}" for i in np.argsort(-scores, kind="stable")[:3]), sep="  ")
    for name, values in outputs.items():
        print(name, *values.shape)


def filter_banks(waveform, frame_length, frame_shift, fft_length, sampling_rate, lowest_frequency, **numbers):
    """Kaldi's log-mel filter banks of (samples,), padded or cut, then normalised: (frames, mel bins)."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform - waveform.mean(), frame_length)[::frame_shift]
    frames = frames[: numbers["cut_to"]] - frames[: numbers["cut_to"]].mean(axis=1, keepdims=True)
    frames = frames - numbers["preemphasis"] * np.hstack((frames[:, :1], frames[:, :-1]))
    power = np.abs(np.fft.rfft(frames * np.hanning(frame_length), fft_length)[:, :-1]) ** 2
    mel = np.log1p(np.arange(fft_length // 2) * sampling_rate / fft_length / 700)
    low, high = (float(np.log1p(frequency / 700)) for frequency in (lowest_frequency, sampling_rate / 2))
    edges = np.linspace(low, high, numbers["num_mel_bins"] + 2)
    rising, falling = (mel - edges[:-2, None], edges[2:, None] - mel) / (edges[1] - edges[0])
    energies = np.maximum(power @ np.minimum(rising, falling).clip(0).T, numbers["smallest_energy"])
    missing = max((numbers["pad_to"] or 0) - len(energies), 0)
    features = np.pad(np.log(energies), ((0, missing), (0, 0)), constant_values=numbers["padding_value"])
    return (features - numbers["mean"]) / (2 * numbers["std"])


if __name__ == "__main__":
    main(sys.argv[1]) if len(sys.argv) == 2 else sys.exit("Which recording? python infer.py clip.wav")
