"""What the commands print: a few lines about the result, and the audit when it is asked for."""

import pytest
from original import original_checkpoint

from ssast_hf.cli import main
from ssast_hf.conversion.original import convert_original_to_hf


def test_summary_has_five_lines_and_the_audit_goes_where_it_is_asked_for(original_file, tmp_path, capsys):
    audit_file, folder = tmp_path / "audit.txt", tmp_path / "ssast"
    assert main(["convert", str(original_file), str(folder), "--audit_file", str(audit_file)]) == 0
    summary = capsys.readouterr().out.splitlines()
    assert len(summary) == 5
    count = len(original_checkpoint())
    assert summary[0] == (
        f"tensors  {count} tensors of the checkpoint accounted for, 48 written ({audit_file} names them)"
    )
    assert "4 split into query, key and value, 2 now in config.json, 4 unused, kept beside the model" in summary[1]
    assert "SSASTForPretraining, 0.2M parameters, float32, 2 layers of width 64" in summary[2]
    assert "128 frames (1.28 s) of 128 mel bins, patches of 16 x 16, 50 of 64 masked" in summary[3]
    assert summary[4] == f"Written: {folder}"
    audit = audit_file.read_text().splitlines()
    assert audit == convert_original_to_hf(original_file, tmp_path / "other")  # of Python, always all of it
    assert main(["convert", str(original_file), str(folder), "--overwrite", "--verbose"]) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == audit


def test_audits_of_stock_ast_have_one_line_for_each_fate(original_file, tmp_path, capsys):
    convert_original_to_hf(original_file, tmp_path / "ssast")
    assert main(["export-ast", str(tmp_path / "ssast"), str(tmp_path / "ast")]) == 0
    out = capsys.readouterr().out
    assert "dropped  9 tensors: embeddings.mask_token, discrimination_head, reconstruction_head" in out
    assert main(["import-ast", str(tmp_path / "ast"), str(tmp_path / "again")]) == 0
    out = capsys.readouterr().out
    assert (
        "fresh    9 tensors: embeddings.mask_token, discrimination_head, reconstruction_head (--verbose names" in out
    )
    assert "dropped  4 tensors: classifier (" in out
    assert main(["import-ast", str(tmp_path / "ast"), str(tmp_path / "third"), "--verbose"]) == 0
    assert "fresh    discrimination_head.dense.weight (64, 64)\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["original.pth", "ssast", "there.txt"])
def test_audit_takes_no_place_of_another_file(original_file, tmp_path, capsys, name):
    (tmp_path / "there.txt").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    arguments = ["convert", str(original_file), str(tmp_path / "ssast"), "--audit_file", str(tmp_path / name)]
    assert main(arguments) == 1
    assert name in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
