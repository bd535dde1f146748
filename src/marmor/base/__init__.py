"""The foundation under every room: errors, pixels, seeds, files, conditions."""
