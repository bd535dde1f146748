"""The named experiments: the only place where the rooms meet."""
