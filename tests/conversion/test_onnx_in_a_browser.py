"""The page of docs/deploying.md in a browser: the same answers as in Python."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest
import soundfile
import torch
from browser import CHROMIUM, browser_page, complaints_of
from exported import needs_exporter, saved
from playwright.sync_api import expect

import ssast_hf
from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.assets import bundled_clips
from ssast_hf.conversion import export_onnx
from ssast_hf.conversion.exporting.check import read_clip


PACKAGE = "onnxruntime-web@1.30.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "ssast_hf", PACKAGE)
PAGE = Path(ssast_hf.__file__).parents[1] / "docs" / "deploying.md"


@pytest.fixture(scope="module")
def runtime() -> Path:
    """The folder of onnxruntime-web as npm has it, downloaded once."""
    folder = CACHE / "package" / "dist"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        result = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=CACHE, capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"npm has no {PACKAGE} here: {result.stderr[-200:]}")
        (archive,) = CACHE.glob("*.tgz")
        with tarfile.open(archive) as file:
            file.extractall(CACHE, filter="data")
        archive.unlink()
    return folder


@pytest.mark.slow
@needs_exporter
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: no package of Python")
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm: no package of Python")
def test_page_says_what_python_says(runtime, tmp_path):
    model = saved(tmp_path / "model", SSASTForAudioClassification, id2label={i: f"class {i}" for i in range(3)})
    clips = [path for path in bundled_clips() if "16k" in path.name][:3]
    extractor = SSASTFeatureExtractor.from_pretrained(tmp_path / "model")
    waveforms = [read_clip(clip, 16000) for clip in clips]
    features = extractor(waveforms, sampling_rate=16000, return_tensors="pt")["input_values"]
    dense, pooled = model.classifier.dense, []
    dense.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    with torch.no_grad():  # each class is the clips that are nearest to one of them
        model(features)
        middle = pooled[0].mean(dim=0)
        dense.weight.copy_(pooled[0] - middle)
        dense.bias.copy_(-dense.weight @ middle - dense.weight.square().sum(dim=1) / 2)
        best = model(features).logits.argmax(dim=1).tolist()
    assert best == [0, 1, 2]
    model.save_pretrained(tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "site", waveform_input=True)
    site = tmp_path / "site"
    (site / "index.html").write_text(re.search(r"```html\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)[1])
    shutil.copytree(runtime, site / "ort")
    handler = functools.partial(Quiet, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with browser_page() as page:
            complaints = complaints_of(page)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.wait_for_function("typeof classify == 'function'")
            answer = page.locator("#answer")
            for clip, expected in zip(clips, best, strict=True):
                page.evaluate("document.getElementById('answer').textContent = ''")
                page.locator("#file").set_input_files(clip)
                expect(answer).not_to_be_empty()
                assert answer.inner_text() == model.config.id2label[expected], clip.name
            (tmp_path / "text.wav").write_text("no sound at all")
            page.locator("#file").set_input_files(tmp_path / "text.wav")
            expect(answer).to_contain_text("This cannot be classified: ")
            soundfile.write(tmp_path / "short.wav", waveforms[0][:300], 16000)
            page.locator("#file").set_input_files(tmp_path / "short.wav")
            expect(answer).to_contain_text("it is shorter than ")
            assert complaints == []
    finally:
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass
