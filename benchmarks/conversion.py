"""
Peak memory and time of the conversions of a base-size checkpoint (89M parameters), verification included.

    python benchmarks/conversion.py

Memory is the peak of a process of its own above what `import torch, transformers` takes, in multiples of the file's
size.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from timing import report


MEASURED = """
import sys, time, torch, transformers

def kilobytes(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))

before = kilobytes("VmRSS")
from ssast_hf.cli import main
start = time.perf_counter()
status = main(sys.argv[1:])
seconds = time.perf_counter() - start
print("MEASURED", status, 1024 * (kilobytes("VmHWM") - before), seconds)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--hidden_size", type=int, default=768)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_checkpoint(folder / "original.pth", arguments.hidden_size)
        size = (folder / "original.pth").stat().st_size
        commands = [
            ("convert", folder / "original.pth", folder / "ssast"),
            ("export-ast", folder / "ssast", folder / "ast"),
            ("export-original", folder / "ssast", folder / "back.pth"),
            ("import-ast", folder / "ast", folder / "imported"),
        ]
        for command in commands:
            result = subprocess.run(
                [sys.executable, "-c", MEASURED, *map(str, command)], capture_output=True, text=True, check=True
            )
            _, status, peak, seconds = result.stdout.strip().splitlines()[-1].split()
            assert status == "0", result.stderr
            row = {"command": command[0], "file MB": size / 1e6, "peak MB": int(peak) / 1e6}
            rows.append(row | {"peak / file": int(peak) / size, "seconds": float(seconds)})
    report(rows)


def make_checkpoint(path: Path, hidden_size: int):
    """A file with the names and shapes of SSAST-Base-Patch-400, random, the unused ImageNet heads included."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from original import original_checkpoint

    torch.save(original_checkpoint(hidden_size=hidden_size, num_layers=12, max_length=1024), path)


if __name__ == "__main__":
    main()
