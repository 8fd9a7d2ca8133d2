"""Stands in for a file that is not in the source distribution."""

# Fields of every configuration, each with a value that is not its default, which `ConfigTester` sets and reads.
config_common_kwargs = {
    "architectures": ["SSASTModel"],
    "chunk_size_feed_forward": 3,
    "dtype": "float16",
    "id2label": {0: "silence", 1: "speech", 2: "music"},
    "label2id": {"silence": 0, "speech": 1, "music": 2},
    "is_encoder_decoder": True,
    "output_attentions": True,
    "output_hidden_states": True,
    "problem_type": "multi_label_classification",
    "return_dict": False,
}
