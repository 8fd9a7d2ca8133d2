"""Fine-tuning on labelled audio: tasks, their data, figures and reports."""
