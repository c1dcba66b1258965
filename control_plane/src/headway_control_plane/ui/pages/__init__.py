"""One file a page: read, shape, render."""
