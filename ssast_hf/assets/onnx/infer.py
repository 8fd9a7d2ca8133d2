"""What model.onnx says of a recording: `python infer.py clip.wav`. Needs numpy, onnxruntime and soundfile alone."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile


sys.tracebacklimit = 0  # an error is a sentence
path = sys.argv[1] if len(sys.argv) == 2 else sys.exit("Which recording? python infer.py clip.wav")
info, labels = (json.loads(Path(__file__).with_name(f"{n}.json").read_bytes()) for n in ("preprocessor", "labels"))
samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
count = round(len(samples) * info["sampling_rate"] / rate)
if count < info["min_samples"]:
    sys.exit(f"{path} is too short: the model takes {info['min_samples']} samples at {info['sampling_rate']} Hz.")
# Resampled by its spectrum, which is cut or goes on with zeros.
values = (np.fft.irfft(np.fft.rfft(samples.mean(axis=1)), count) * (count / len(samples)))[None].astype(np.float32)
# What the first output of a graph is, the next one takes: a waveform, a spectrogram, what the model says.
for session in [onnxruntime.InferenceSession(Path(__file__).with_name(name)) for name in info["graphs"]]:
    mask, names = np.ones(values.shape[:2], dtype=np.int64), [each.name for each in session.get_inputs()]
    values, *others = session.run(None, {name: mask if name == "attention_mask" else values for name in names})
if values.ndim == 3 and "" in labels:  # of a model for text, that of the blank; what is said twice in a row is one
    best = values[0].argmax(axis=1)
    print("".join(labels[i] for i in best[np.diff(best, prepend=-1) != 0]))
elif labels:
    for scores in values.reshape(-1, len(labels)):  # of the clip, or of every time step
        print(*(f"{labels[i]} {scores[i]:.3f}" for i in np.argsort(-scores, kind="stable")[:3]), sep="  ")
print(f"heard: {min(count, info['max_samples'] or count) / info['sampling_rate']:.2f} of {len(samples) / rate:.2f} s")
print(*map(lambda each, value: f"{each.name} {value.shape}", session.get_outputs(), [values, *others]), sep="\n")
