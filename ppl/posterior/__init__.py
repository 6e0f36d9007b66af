"""The posterior: what a run is known to be, with its errors, its pooling and its file format."""
