"""
The command under FSDP (version 2) on processes without a GPU, for which accelerate knows no FSDP: it is told that they
have one.

    torchrun --standalone --nproc_per_node 2 tests/fsdp_on_cpu.py pretrain --use_cpu True ...
"""

import os
import sys

import accelerate.state
from accelerate.utils import DistributedType

from ssast_hf.cli import main


# What `accelerate launch` would set. With the sharded type, its default, it would save no model that loads by itself.
os.environ |= {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "SSASTLayer",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}


initialise = accelerate.state.PartialState.__init__


def initialise_as_gpus(self, *args, **kwargs):
    initialise(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self._shared_state["distributed_type"] = DistributedType.MULTI_GPU


if __name__ == "__main__":
    accelerate.state.PartialState.__init__ = initialise_as_gpus
    sys.exit(main())
