"""Functions from tensors to tensors, nothing else."""
