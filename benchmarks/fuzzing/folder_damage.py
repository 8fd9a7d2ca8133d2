"""What is done to the folder of a saved model: its weights, JSON files and links; what is missing or there besides."""

import hashlib
import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import readings
from .damage import DEEP, TEXTS, anything, damage_bytes, damage_json
from .pickles import code
from .verdicts import CANARY, SECRET, SECRET_TEXT


# Keys that transformers gives a meaning to.
CONFIG_KEYS = (
    "auto_map dtype torch_dtype quantization_config attn_implementation _attn_implementation id2label label2id "
    "num_labels problem_type base_model_name_or_path transformers_version architectures pruned_heads "
    "tie_word_embeddings max_length return_dict _name_or_path output_hidden_states use_return_dict device_map "
    "adapter_kwargs torchscript name_or_path decoder_num_hidden_layers decoder_hidden_size num_masked_patches "
    "mask_strategy hidden_act is_encoder_decoder chunk_size_feed_forward rope_scaling rope_parameters "
    "text_config sub_configs model_type __class__ attribute_map"
).split()
EXTRACTOR_KEYS = (
    "auto_map feature_extractor_type processor_class padding_side feature_size image_processor_type _name_or_path "
    "return_attention_mask padding_value do_normalize mean std max_length num_mel_bins sampling_rate __class__ "
    "padding truncation min_frames"
).split()
# A text of YAML that grows ninefold with each line.
LAUGHS = "\n".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in ("ab", "bc", "cd", "de", "ef", "fg", "gh"))


def change_json(random, path: Path, keys) -> str:
    description, data = damage_json(random, json.loads(path.read_text()), keys)
    path.write_bytes(data)
    return description


def damage_config(random, source, folder):
    return change_json(random, source / "config.json", CONFIG_KEYS)


def damage_extractor(random, source, folder):
    return change_json(random, source / "preprocessor_config.json", EXTRACTOR_KEYS)


def weight_file(random, source: Path) -> Path:
    return random.choice(sorted(source.glob("model*.safetensors")))


def damage_weights(random, source, folder):
    path = weight_file(random, source)
    description, data = damage_bytes(random, path.read_bytes())
    path.write_bytes(data)
    return f"{path.name}: {description}"


def damage_header(random, source, folder):
    """The header of a safetensors file: what it says of names, types, shapes, places and of itself."""
    path = weight_file(random, source)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    way = random.choice("length json type shape offsets metadata empty twice deep wide long".split())
    key = random.choice([each for each in header if each != "__metadata__"])
    claimed = None
    if way == "length":
        claimed = random.choice((0, 1, length - 1, length + 1, len(data), 2**31, 2**63, 2**64 - 1, 100_000_000))
    elif way == "json":
        description, text = damage_json(random, header)
        return write_header(path, text, tensors, None, description)
    elif way == "type":
        header[key]["dtype"] = random.choice(
            ("F64", "F16", "I32", "BOOL", "F8_E4M3", "F4", "C64", "X", "", 3, None, "f32")
        )
    elif way == "shape":
        shape = header[key]["shape"]
        header[key]["shape"] = random.choice(
            ([], [0], [-1], [2**63], [2**32, 2**32], shape[::-1], [1, *shape], shape * 2, ["1"], [1.5], None, [None])
        )
    elif way == "offsets":
        start, end = header[key]["data_offsets"]
        pair = [(0, 4), (end, start), (start + 4, end), (start, end - 4), (-4, end), (start, 2**63), (start, end, 0)]
        pair += [(0, end - start), ("0", "4"), (0.0, 4.0), (), (start,)]
        header[key]["data_offsets"] = random.choice(pair)
    elif way == "metadata":
        header["__metadata__"] = random.choice(
            (None, 3, [], {}, {"format": 3}, {"format": "tf"}, {"format": "x" * 10**6})
        )
    elif way == "empty":
        header, tensors = random.choice((({}, b""), ({}, tensors), ({"__metadata__": {"format": "pt"}}, b"")))
    elif way == "twice":
        text = json.dumps(header)
        return write_header(path, (text[:-1] + "," + text[1:]).encode(), tensors, None, "every key twice")
    elif way == "deep":
        text = json.dumps(header)[:-1] + ', "deep": ' + "[" * DEEP + "]" * DEEP + "}"
        return write_header(path, text.encode(), tensors, None, "deep JSON")
    elif way == "wide":
        header |= {f"{key}.{number}": header[key] for number in range(2000)}
    elif way == "long":
        header[random.choice(("x" * 10**6, "\0", "é\n", "../x", ""))] = header.pop(key)
    return write_header(path, json.dumps(header).encode(), tensors, claimed, f"{way} {key}")


def write_header(path: Path, header: bytes, tensors: bytes, claimed: int | None, description: str) -> str:
    path.write_bytes(struct.pack("<Q", len(header) if claimed is None else claimed) + header + tensors)
    return f"{path.name}: {description}"


def damage_tensors(random, source, folder):
    """A right file whose tensors do not fit."""
    path = weight_file(random, source)
    state = load_file(path)
    key = random.choice(list(state))
    way = random.choice("removed renamed type types shape content added head all layers prefix".split())
    if way == "removed":
        del state[key]
    elif way == "renamed":
        state[random.choice((key + "x", "module." + key, key.upper(), key[5:], "é"))] = state.pop(key)
    elif way in ("type", "types"):
        dtype = random.choice(
            (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.float8_e5m2)
        )
        for each in [key] if way == "type" else list(state):
            state[each] = state[each].to(dtype)
    elif way == "shape":
        tensor = state[key]
        state[key] = random.choice(
            (tensor[None], tensor.flatten(), tensor[:0], tensor.sum(), tensor[..., :-1].contiguous())
        )
    elif way == "content":
        state[key] = torch.full_like(state[key], random.choice((float("nan"), float("inf"), 0.0, 3e38, -1e30)))
    elif way == "added":
        name = random.choice(("extra", "decoder.0.weight", "ctc_head.weight", "classifier.dense.weight"))
        state[name] = torch.zeros(3)
    elif way == "head":
        state = {each: value for each, value in state.items() if "head" not in each and "classifier" not in each}
    elif way == "all":
        state = random.choice(({}, {"x": torch.zeros(1)}))
    elif way == "layers":
        number = random.choice((2, 9, 10**9))
        state[f"audio_spectrogram_transformer.encoder.layer.{number}.layernorm_before.weight"] = torch.zeros(16)
    elif way == "prefix":
        state = {each.removeprefix("audio_spectrogram_transformer."): value for each, value in state.items()}
    save_file(state, path, metadata={"format": "pt"})
    return f"{path.name}: {way} {key}"


def damage_index(random, source, folder):
    """An index of several files, made up where there is none."""
    path = source / "model.safetensors.index.json"
    if path.exists():
        index = json.loads(path.read_text())
    else:
        state = readings.folder(source)
        os.rename(source / "model.safetensors", source / "model-00001-of-00001.safetensors")
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(state, "model-00001-of-00001.safetensors")}
    names = index["weight_map"]
    key = random.choice(list(names))
    outside = folder / SECRET
    shutil.copy(source / names[key], outside)
    way = random.choice("json metadata outside absolute value key lacking moved itself pickle no-map".split())
    description = way
    data = None
    if way == "json":
        description, data = damage_json(random, index)
    elif way == "metadata":
        index["metadata"] = anything(random)
        if random.random() < 0.5:
            del index["metadata"]
    elif way in ("outside", "absolute"):
        names[key] = str(outside) if way == "absolute" else os.path.relpath(outside, source)
        if random.random() < 0.5:
            index["weight_map"] = dict.fromkeys(names, names[key])
    elif way == "value":
        names[key] = random.choice(
            (anything(random), "", ".", "..", "config.json", "figures", "\0", "model.safetensors")
        )
    elif way == "key":
        names[random.choice((*TEXTS, "extra"))] = names[key]
    elif way == "lacking":
        del names[key]
    elif way == "moved":
        names[key] = random.choice(sorted(set(names.values())))
    elif way == "itself":
        names[key] = path.name
    elif way == "pickle":
        names[key] = "pytorch_model.bin"
        (source / "pytorch_model.bin").write_bytes(pickle.dumps(code(random, folder / CANARY)[1]))
    elif way == "no-map":
        index = random.choice(({}, [], {"weight_map": None}, {"weight_map": {}}, {"weight_map": []}))
    path.write_bytes(json.dumps(index).encode("utf-8", "surrogatepass") if data is None else data)
    return f"{description} {key}"


def damage_links(random, source, folder):
    """A file of the folder is a link, a folder, or nothing that can be read to its end."""
    outside = folder / SECRET
    files = sorted(path.name for path in source.iterdir() if path.is_file() and path.suffix != ".py")
    pictures = ("curves.png", "reconstruction.png", "figures/step-1-clip-0.png", "README.md")
    name = random.choice((*files, *pictures, "original_extras.safetensors", "original_checkpoint.json", "figures"))
    path = source / name
    path.parent.mkdir(exist_ok=True)
    way = random.choice("inside outside secret dangling loop folder zero pipe unreadable".split())
    content = path.read_bytes() if path.is_file() else b"\x89PNG\r\n\x1a\n"
    path.unlink(missing_ok=True)
    if way == "inside":
        (source / "elsewhere").write_bytes(content)
        path.symlink_to(source / "elsewhere")
    elif way == "outside":
        outside.write_bytes(content)
        path.symlink_to(os.path.relpath(outside, path.parent))
    elif way == "secret":
        outside.write_bytes(SECRET_TEXT)
        path.symlink_to(outside)
        if name == "figures":
            path.unlink()
            (folder / "pictures").mkdir()
            (folder / "pictures" / "step-1-clip-0.png").write_bytes(SECRET_TEXT)
            path.symlink_to(folder / "pictures")
    elif way == "dangling":
        path.symlink_to("nowhere")
    elif way == "loop":
        path.symlink_to(path.name)
    elif way == "folder":
        path.mkdir()
    elif way == "zero":
        path.symlink_to("/dev/zero")
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "unreadable":
        path.write_bytes(content)
        path.chmod(0)
    return f"{name} {way}"


def damage_missing(random, source, folder):
    files = sorted(path for path in source.iterdir() if path.is_file())
    gone = random.sample(files, random.choice((1, 1, 1, 2, len(files))))
    for path in gone:
        path.unlink()
    return ", ".join(path.name for path in gone)


def damage_code(random, source, folder):
    """Everything that some program or other would run."""
    canary = folder / CANARY
    write = f"open({str(canary)!r}, 'w').close()\n"
    way = random.choice("modules auto_map extractor bin training adapter template named remote".split())
    path = source / "config.json"
    config = json.loads(path.read_text())
    if way == "modules":
        for each in ("configuration_ssast.py", "modeling_ssast.py", "heads_ssast.py", "feature_extraction_ssast.py"):
            (source / each).write_text(write)
    elif way == "auto_map":
        (source / "evil.py").write_text(write + "class Evil: pass\n")
        config["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModel", "AutoFeatureExtractor"), "evil.Evil")
    elif way == "extractor":
        (source / "evil.py").write_text(write + "class Evil: pass\n")
        path = source / "preprocessor_config.json"
        config = json.loads(path.read_text()) | {"auto_map": {"AutoFeatureExtractor": "evil.Evil"}}
        config["feature_extractor_type"] = "Evil"
    elif way in ("bin", "training"):
        name = "pytorch_model.bin" if way == "bin" else "training_args.bin"
        (source / name).write_bytes(pickle.dumps(code(random, canary)[1]))
        if way == "bin" and random.random() < 0.5:
            for each in source.glob("model*"):
                each.unlink()
    elif way == "adapter":
        (source / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": "../x", "auto_mapping": None})
        )
        (source / "adapter_model.bin").write_bytes(pickle.dumps(code(random, canary)[1]))
    elif way == "template":
        text = f"{{{{ cycler.__init__.__globals__.os.system('touch {canary}') }}}}"
        config["id2label"], config["_name_or_path"] = {"0": text, "1": "{% raw %}"}, text
        config["label2id"] = {text: 0, "{% raw %}": 1}
    elif way == "named":
        config["architectures"] = [f"os.system('touch {canary}')"]
        config["dtype"] = config["torch_dtype"] = f"__import__('os').system('touch {canary}')"
    elif way == "remote":
        config["trust_remote_code"], config["_commit_hash"] = True, "main"
        config["auto_map"] = {"AutoConfig": "somebody/else--evil.Evil"}
    path.write_text(json.dumps(config))
    return way


def damage_card(random, source, folder):
    canary = folder / CANARY
    head = random.choice(
        (
            f"license: !!python/object/apply:os.system ['touch {canary}']", "license: [", "license: {a: b}",
            "license: mit",
            "tags: 3", "a: &a [*a, *a]", "- 1", "tags: &t [1, 2]\ndatasets: *t", "\t", "license: cc-by-4.0\ntags: {}",
            "x",
            "model-index: 3", "license: \0", "tags: [" * 3000, "eval_results: [1]", "datasets: !!binary x",
            "language: 3",
            "a: &a [x,x,x,x,x,x,x,x,x]\n" + LAUGHS,
            "license: cc-by-4.0\ntags: [ssast]\nlibrary_name: transformers\npipeline_tag: feature-extraction",
        )
    )  # fmt: skip
    text = f"---\n{head}\n---\n# Card {{{{ 7 * 7 }}}}\n"
    data = text.encode()
    if random.random() < 0.3:
        description, data = damage_bytes(random, data)
        head = f"{head[:20]}, {description}"
    (source / "README.md").write_bytes(data)
    return head[:60].replace("\n", " ")


def damage_extras(random, source, folder):
    """Tensors that the original never uses, which lie beside a converted model."""
    path = source / "original_extras.safetensors"
    if random.random() < 0.5 and path.exists():
        description, data = damage_bytes(random, path.read_bytes())
        path.write_bytes(data)
        return description
    key = random.choice(("v.head.weight", "v.cls_token", "p_input_fdim", "x"))
    value = random.choice((torch.zeros(3), torch.zeros(0), torch.zeros(2, 3, 4), torch.zeros(3, dtype=torch.int64)))
    save_file({key: value}, path)
    return f"{key} {tuple(value.shape)}"


def damage_origin(random, source, folder):
    path = source / "original_checkpoint.json"
    origin = {"name": "SSAST-Tiny-Patch-400", "sha256": "0" * 64, "converted_sha256": "0" * 64}
    if random.random() < 0.3:
        description, data = damage_json(random, origin)
        path.write_bytes(data)
        return description
    weights = source / "model.safetensors"
    if weights.exists():
        origin["converted_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    origin["name"] = random.choice((origin["name"], "x", "../x", "x" * 100_000))
    path.write_text(json.dumps(origin))
    return f"{origin['name'][:40]} noted"


def damage_number(random, source, folder):
    """One number of the configuration or the feature extractor, by its field."""
    name = random.choice(("config.json", "preprocessor_config.json"))
    values = json.loads((source / name).read_text())
    key = random.choice([each for each, value in values.items() if isinstance(value, (int, float))])
    values[key] = random.choice(
        (0, -1, 1, 3, 10**6, 10**9, 2**63, 10**30, 0.5, 1e-300, 1e300, float("nan"), True, "64", None)
    )
    (source / name).write_text(json.dumps(values))
    return f"{key} = {values[key]!r}"


# What may be done, and how often in comparison.
WAYS = {
    damage_config: 3,
    damage_extractor: 2,
    damage_weights: 1,
    damage_header: 2,
    damage_tensors: 2,
    damage_index: 1,
    damage_links: 2,
    damage_missing: 1,
    damage_code: 2,
    damage_card: 1,
    damage_extras: 1,
    damage_origin: 1,
    damage_number: 1,
}


def damage_folder(random, source: Path, folder: Path) -> str:
    """Change a copied folder, or leave it as it is; returns what was done."""
    (way,) = random.choices([None, *WAYS], [1, *WAYS.values()])
    return "intact" if way is None else f"{way.__name__.removeprefix('damage_')}: {way(random, source, folder)}"
