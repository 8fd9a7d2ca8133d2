"""Stands in for a file that is not in the source distribution: the tests of export in newer versions."""

import torch
from transformers.exporters import DynamoConfig, DynamoExporter
from transformers.testing_utils import torch_device


class ExportTesterMixin:
    """Exports with transformers' exporter: for the shapes of the example, and for other numbers of clips."""

    def test_torch_export(self):
        self.check_export(dynamic=False)

    def test_torch_export_dynamic(self):
        self.check_export(dynamic=True)

    def check_export(self, dynamic: bool):
        for model_class in self.all_model_classes:
            config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
            model = model_class(config).eval().to(torch_device)
            exported = DynamoExporter().export(model, dict(inputs), DynamoConfig(dynamic=dynamic))
            program = getattr(exported, "program", exported)  # the program itself up to transformers 5.22
            if dynamic:
                inputs = {name: value[:2] for name, value in inputs.items()}
            with torch.no_grad():
                torch.manual_seed(1)
                expected = model(**inputs)
                torch.manual_seed(1)
                actual = program.module()(**inputs)
            torch.testing.assert_close(dict(actual), dict(expected), rtol=1e-4, atol=1e-4)
