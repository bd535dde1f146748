"""What all tests share."""

import os

import torch

# On small tensors one thread is faster than several, much faster on a busy machine.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
